"""Ask Google's administrative services, over REST, about what is deployed."""

from collections.abc import Mapping
from typing import Any

import requests
from google.auth.exceptions import GoogleAuthError

from adjourn_local.doctor.finding import NotAskedError

_TIMEOUT = 20
_NOT_FOUND, _FORBIDDEN = 404, {401, 403}


class GoogleRest:
    """Google's REST APIs, with the credentials of whoever runs the command.

    Args:
        session: Sends the requests; one with the default credentials if None.
        bases: The addresses of the APIs by their names, where they are others than Google's.
    """

    def __init__(
        self, session: requests.Session | None = None, bases: Mapping[str, str] | None = None
    ) -> None:
        self._session = session
        self._bases = bases or {}

    def get(self, api: str, path: str) -> Mapping[str, Any] | None:
        """Return a resource, None if it does not exist.

        Args:
            api: Such as `run` for run.googleapis.com.
            path: The path of the URL, without the slash in front.

        Raises:
            NotAskedError: The service is away or refuses, or there are no credentials.
        """
        return self._send("GET", api, path)

    def policy(self, api: str, path: str, method: str = "POST") -> Mapping[str, list[str]] | None:
        """Return the members of each role on a resource, None if it does not exist.

        Conditions are taken along in the role's name, behind a blank.

        Raises:
            NotAskedError: As for `get`.
        """
        found = self._send(method, api, f"{path}:getIamPolicy")
        if found is None:
            return None
        roles: dict[str, list[str]] = {}
        for each in found.get("bindings", []):
            condition = each.get("condition", {}).get("expression", "")
            name = f"{each['role']} {condition}".strip()
            roles.setdefault(name, []).extend(each.get("members", []))
        return roles

    def _send(self, method: str, api: str, path: str) -> Mapping[str, Any] | None:
        url = f"{self._bases.get(api, f'https://{api}.googleapis.com')}/{path}"
        try:
            answer = self._authorized().request(method, url, timeout=_TIMEOUT)
            content = answer.json() if answer.content else {}
        except (requests.RequestException, GoogleAuthError, ValueError) as error:
            raise NotAskedError(f"{api}.googleapis.com did not answer: {error}") from None
        if answer.status_code == _NOT_FOUND:
            return None
        if not answer.ok:
            said = content.get("error", {}).get("message", answer.reason)
            verb = "refuses" if answer.status_code in _FORBIDDEN else "did not answer"
            raise NotAskedError(f"{api}.googleapis.com {verb}: {said}")
        found: Mapping[str, Any] = content
        return found

    def _authorized(self) -> requests.Session:
        if self._session is None:
            import google.auth  # noqa: PLC0415 - takes a while
            from google.auth.transport.requests import AuthorizedSession  # noqa: PLC0415

            credentials, _ = google.auth.default(
                scopes=["https://www.googleapis.com/auth/cloud-platform"]
            )
            self._session = AuthorizedSession(credentials)
        return self._session
