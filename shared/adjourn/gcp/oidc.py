"""The token verifier for Google's identity tokens, which caches Google's public keys.

It only verifies the signature. `adjourn.requests.auth` decides which claims are accepted. No module
of Google is imported before the first token arrives.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
import logging
import re
import threading
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple, Protocol, cast
from urllib.parse import urlsplit

from adjourn.errors import ConfigurationError, KeysUnavailableError, UnauthenticatedError
from adjourn.settings import GOOGLE_KEYS_URL, LOOPBACK, is_safe_url

Fetch = Callable[[str], tuple[int, Mapping[str, str], bytes]]

_log = logging.getLogger(__name__)

_MAX_TOKEN = 8192
_MAX_PROVEN = 256
# https://cloud.google.com/run/docs/troubleshooting#signature-removed
_SIGNATURE_REMOVED = ".SIGNATURE_REMOVED_BY_GOOGLE"
# Stricter than google.auth, which skips other characters, so that one token has many spellings.
_TOKEN = re.compile(rb"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)")
_MAX_ANSWER = 1 << 20
_FETCH_TIMEOUT = 5.0
_OK = 200

_SHORTEST = dt.timedelta(minutes=5)
_LONGEST = dt.timedelta(hours=24)
_DEFAULT = dt.timedelta(hours=1)
_USABLE_AFTER_EXPIRY = dt.timedelta(hours=6)
_PAUSE = dt.timedelta(seconds=30)
# Without any usable key every request fails, so the next attempt may follow soon.
_PAUSE_WITHOUT_KEYS = dt.timedelta(seconds=1)


class _Verifier(Protocol):
    def verify(self, message: bytes, signature: bytes) -> bool: ...


class _Token(NamedTuple):
    key_id: str
    signed: bytes
    payload: bytes
    signature: bytes


class _Keys(NamedTuple):
    verifiers: Mapping[str, _Verifier]
    fetched_at: dt.datetime
    lifetime: dt.timedelta
    proven: dict[str, Mapping[str, object]]  # claims of tokens that were verified with these keys

    def is_fresh(self, now: dt.datetime) -> bool:
        return self.fetched_at <= now < self.fetched_at + self.lifetime

    def is_usable(self, now: dt.datetime) -> bool:
        return now < self.fetched_at + self.lifetime + _USABLE_AFTER_EXPIRY


class _Attempt(NamedTuple):
    at: dt.datetime
    succeeded: bool


class OidcVerifier:
    """Returns the claims of a token that is signed with one of the published keys.

    Keys are cached for as long as their response allows (5 min to 24 h). They are fetched again
    when a token names an unknown key, at most every 30 s. If that fails, the known keys are used
    for another 6 h. A verified token is not verified again until keys are fetched again; so a
    token is refused once its key was withdrawn. Threads may share a verifier; only one of them
    fetches keys at a time. Where the platform has verified the token and removed its signature,
    only such a token is accepted without a signature.
    """

    def __init__(
        self,
        keys_url: str = GOOGLE_KEYS_URL,
        *,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
        fetch: Fetch | None = None,
        platform_checks: bool = False,
    ) -> None:
        """Prepare; nothing is fetched yet.

        Args:
            keys_url: URL of a JSON object from key ids to PEM certificates.
            now: Returns the time as an aware datetime.
            fetch: Gets a URL; returns status, headers and body; raises OSError without a response.
            platform_checks: Whether Cloud Run has verified the token of every request.

        Raises:
            ConfigurationError: The URL is not encrypted and not on this machine.
        """
        if not is_safe_url(keys_url):
            raise ConfigurationError(
                f"keys may be fetched over https, or over http from this machine, not {keys_url!r}"
            )
        self._url = keys_url
        self._now = now
        self._fetch = fetch or _fetch
        self._platform_checks = platform_checks
        self._lock = threading.Lock()
        self._keys: _Keys | None = None
        self._attempt: _Attempt | None = None

    def verify(self, token: str) -> Mapping[str, object]:
        """Return the claims of a token with a valid signature.

        Raises:
            UnauthenticatedError: It is malformed, or not signed with a published key.
            KeysUnavailableError: The keys could not be fetched.
        """
        keys = self._keys
        if keys and keys.is_fresh(self._now()) and (known := keys.proven.get(token)):
            return known
        parts = _take_apart(token)
        if token.endswith(_SIGNATURE_REMOVED):
            if not self._platform_checks:
                raise UnauthenticatedError("signature removed, and ADJOURN_PLATFORM is verify")
            return _object(parts.payload)
        keys = self._keys_with(parts.key_id)
        if not keys.verifiers[parts.key_id].verify(parts.signed, parts.signature):
            raise UnauthenticatedError("bad signature")
        claims = _object(parts.payload)
        if len(keys.proven) >= _MAX_PROVEN:
            keys.proven.clear()
        keys.proven[token] = claims
        return claims

    def _keys_with(self, key_id: str) -> _Keys:
        now, keys = self._now(), self._keys
        if keys is None or not keys.is_fresh(now) or key_id not in keys.verifiers:
            keys = self._renewed(key_id)
        if key_id in keys.verifiers:
            return keys
        if self._attempt is not None and not self._attempt.succeeded:
            raise KeysUnavailableError("the key may be new, and fetching the keys failed")
        raise UnauthenticatedError("unknown key")

    def _renewed(self, key_id: str) -> _Keys:
        """Try to fetch newer keys, unless another thread just did, and return the keys."""
        known = self._keys
        can_do = known is not None and known.is_usable(self._now()) and key_id in known.verifiers
        if not self._lock.acquire(blocking=not can_do):
            # Another thread is fetching; do not wait for it if the key is known.
            return cast("_Keys", known)
        try:
            now, keys = self._now(), self._keys
            if keys is not None and keys.is_fresh(now) and key_id in keys.verifiers:
                return keys
            usable = keys if keys is not None and keys.is_usable(now) else None
            if self._may_fetch(now, _PAUSE if usable else _PAUSE_WITHOUT_KEYS):
                usable = self._try_fetch() or usable
        finally:
            self._lock.release()
        if usable is None:
            raise KeysUnavailableError("the keys that verify callers could not be fetched")
        return usable

    def _may_fetch(self, now: dt.datetime, pause: dt.timedelta) -> bool:
        last = self._attempt
        return last is None or not last.at <= now < last.at + pause

    def _try_fetch(self) -> _Keys | None:
        try:
            status, headers, body = self._fetch(self._url)
            if status != _OK:
                raise ValueError(f"status {status}")  # noqa: TRY301 - one place logs every failure
            keys = _Keys(
                _verifiers(body), fetched_at=self._now(), lifetime=_lifetime(headers), proven={}
            )
        except (OSError, ValueError) as error:
            _log.warning("fetching the keys of %s failed: %s", self._url, error)
            self._attempt = _Attempt(at=self._now(), succeeded=False)
            return None
        self._keys = keys
        self._attempt = _Attempt(at=keys.fetched_at, succeeded=True)
        return keys


def _take_apart(token: str) -> _Token:
    parts = _TOKEN.fullmatch(token.encode(errors="replace")) if len(token) <= _MAX_TOKEN else None
    if parts is None:
        raise UnauthenticatedError("malformed token")
    signed = parts[0][: parts.end(2)]
    return _Token(_key_id(parts[1]), signed, payload=parts[2], signature=_decoded(parts[3]))


@lru_cache(maxsize=16)  # all tokens of one key begin with the same header
def _key_id(part: bytes) -> str:
    header = _object(part)
    # Only the algorithm of Google: the token must not choose how it is verified (RFC 8725, 3.1).
    if header.get("alg") != "RS256":
        raise UnauthenticatedError("wrong algorithm")
    if "crit" in header:
        raise UnauthenticatedError("critical header")
    key_id = header.get("kid")
    if not isinstance(key_id, str) or not key_id:
        raise UnauthenticatedError("key id missing")
    return key_id


def _object(part: bytes) -> Mapping[str, object]:
    try:
        value = json.loads(_decoded(part))
    except (ValueError, RecursionError):
        raise UnauthenticatedError("malformed token") from None
    if not isinstance(value, dict):
        raise UnauthenticatedError("malformed token")
    return value


def _decoded(part: bytes) -> bytes:
    try:
        return base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    except binascii.Error:
        raise UnauthenticatedError("malformed token") from None


def _verifiers(body: bytes) -> Mapping[str, _Verifier]:
    from google.auth.crypt import RSAVerifier

    certificates = json.loads(body)
    if not isinstance(certificates, dict) or not certificates:
        raise ValueError("not an object from key id to certificate")
    load = cast("Callable[[object], _Verifier]", RSAVerifier.from_string)
    return {key_id: load(certificate) for key_id, certificate in certificates.items()}


def _lifetime(headers: Mapping[str, str]) -> dt.timedelta:
    lower = {name.lower(): value for name, value in headers.items()}
    found = re.search(
        r'(?<![\w-])max-age\s*=\s*"?(\d{1,9})', lower.get("cache-control", "").lower()
    )
    if found is None:
        return _DEFAULT
    age = lower.get("age", "").strip()
    seconds = int(found[1]) - (int(age) if re.fullmatch(r"\d{1,9}", age) else 0)
    return min(max(dt.timedelta(seconds=seconds), _SHORTEST), _LONGEST)


def _fetch(url: str) -> tuple[int, Mapping[str, str], bytes]:
    """Get a URL without following redirects, which could lead away from https."""
    import http.client
    import urllib.request

    opener = urllib.request.OpenerDirector()
    proxies = urllib.request.ProxyHandler({} if urlsplit(url).hostname in LOOPBACK else None)
    for handler in (proxies, urllib.request.HTTPHandler(), urllib.request.HTTPSHandler()):
        opener.add_handler(handler)
    try:
        with opener.open(url, timeout=_FETCH_TIMEOUT) as answer:
            return answer.status, dict(answer.headers.items()), answer.read(_MAX_ANSWER)
    except http.client.HTTPException as error:
        raise OSError(f"broken answer: {error!r}") from error
