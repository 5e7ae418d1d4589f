"""Client of a deferred function's callable tasks, and the identity tokens for it."""

import base64
import json
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any
from urllib.parse import quote, urlsplit

from adjourn.errors import AdjournError
from adjourn_local.tokens.user_tokens import TOKEN_PATH

_TIMEOUT = 60.0
_GCLOUD = ("auth", "print-identity-token")


class CallError(AdjournError):
    """The function has refused a request or cannot be reached; the message says what may help."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Does not follow redirects, so that the token is sent to nobody else."""

    def redirect_request(self, *_: object) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallableTasks:
    """The callable tasks of one deferred function, as one user sees them."""

    url: str
    token: str = field(repr=False)

    def list(self) -> Sequence[Mapping[str, Any]]:
        """Return the tasks that the user may start.

        Raises:
            CallError: The request has failed.
        """
        tasks: Sequence[Mapping[str, Any]] = self._ask("/list")["tasks"]
        return tasks

    def start(self, key: str, parameters: Mapping[str, object]) -> Mapping[str, Any]:
        """Start a task and return its handle.

        Raises:
            CallError: The request has failed.
        """
        return self._ask(f"/execute/{quote(key, safe='')}", parameters)

    def _ask(self, path: str, content: object = None) -> Mapping[str, Any]:
        headers = {"Authorization": f"Bearer {self.token}"}
        status, reply = _request(f"{self.url}{path}", content, headers)
        if status < 300:  # noqa: PLR2004 - success
            return reply
        raise CallError(self._describe_error(status, reply))

    def _describe_error(self, status: int, reply: Mapping[str, Any]) -> str:
        match status:
            case 401:
                return (
                    f"The function does not accept the token. It is for {_audience(self.token)!r},"
                    " which ADJOURN_PEOPLE_AUDIENCES must contain there, and expires after an hour."
                )
            case 403:
                return "This account may not do that."
            case 404:
                return "There is no such task, or the function has no ADJOURN_PEOPLE_AUDIENCES."
            case 422 if isinstance(fields := reply.get("fields"), dict):
                lines = (f"\n  {': '.join(filter(None, each))}" for each in fields.items())
                return "".join(["The parameters do not fit:", *lines])
        return f"The function answered {status} ({reply.get('error', 'no reason')})."


def local_token(keys_url: str, email: str, audience: str) -> str:
    """Return an identity token of a user from the laptop stack that publishes these keys.

    Raises:
        CallError: The stack has refused the request.
    """
    parts = urlsplit(keys_url)
    url = f"{parts.scheme}://{parts.netloc}{TOKEN_PATH}"
    status, reply = _request(url, {"email": email, "audience": audience}, {})
    if "token" not in reply:
        raise CallError(f"The laptop stack gave no token for {email!r} (status {status}).")
    return str(reply["token"])


def gcloud_token(account: str | None) -> str:
    """Return an identity token of the active gcloud account, or of another that is signed in.

    Raises:
        CallError: gcloud is not installed, or nobody is signed in.
    """
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        raise CallError("gcloud is not installed; install it and sign in, or give --token.")
    done = subprocess.run(  # noqa: S603 - the account is one argument, and no shell reads it
        [gcloud, *_GCLOUD, *([account] if account else [])],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or not done.stdout.strip():
        raise CallError(f"gcloud gave no token: {done.stderr.strip() or 'no reason'}")
    return done.stdout.strip()


def _request(
    url: str, content: object, headers: Mapping[str, str]
) -> tuple[int, Mapping[str, Any]]:
    body = None if content is None else json.dumps(content).encode()
    typed = {**headers, "Content-Type": "application/json"} if body else headers
    request = urllib.request.Request(url, body, dict(typed))  # noqa: S310 - the caller has checked it
    handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
    if urlsplit(url).scheme == "http":  # loopback, which proxies cannot reach
        handlers.append(urllib.request.ProxyHandler({}))
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=_TIMEOUT) as response:
            return response.status, _object(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _object(error.read())
    except OSError as error:
        raise CallError(f"{url} cannot be reached: {error}") from error
    except HTTPException:
        raise CallError(f"What listens at {url} does not speak HTTP.") from None


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        reply = json.loads(body)
    except ValueError:
        return {}
    return reply if isinstance(reply, dict) else {}


def _audience(token: str) -> object:
    """Return the audience that a token claims, without verifying the token."""
    try:
        payload = token.split(".")[1]
        return _object(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))).get("aud")
    except (ValueError, IndexError):
        return None
