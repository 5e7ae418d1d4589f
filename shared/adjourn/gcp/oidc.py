"""The token verifier for Google's identity tokens, which caches Google's public keys.

It only verifies the signature. `adjourn.requests.auth` decides which claims are accepted. No module
of Google is imported before the first token arrives.
"""

from __future__ import annotations

import binascii
import datetime as dt
import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

from adjourn.errors import ConfigurationError, UnauthenticatedError
from adjourn.gcp.signing_keys import Fetch, SigningKeys
from adjourn.settings import GOOGLE_KEYS_URL, is_safe_url

_MAX_TOKEN = 8192
_MAX_PROVEN = 256
# https://cloud.google.com/run/docs/troubleshooting#signature-removed
_SIGNATURE_REMOVED = ".SIGNATURE_REMOVED_BY_GOOGLE"
# From the alphabet of tokens (RFC 7515, 2) to that of base64, whose own characters become no part
# of either: google.auth skips what is no part, so that one token has many spellings.
_TO_BASE64 = bytes.maketrans(b"-_+/=", b"+/   ")


class _Token(NamedTuple):
    key_id: str
    signed: bytes
    payload: bytes
    signature: bytes


class OidcVerifier:
    """Returns the claims of a token that is signed with one of the published keys.

    A verified token is not verified again until keys are fetched again; so a token is refused once
    its key was withdrawn. Threads may share a verifier. Where the platform has verified the token
    and removed its signature, only such a token is accepted without a signature.
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
        self._keys = SigningKeys(keys_url, now=now, fetch=fetch)
        self._now = now
        self._platform_checks = platform_checks

    def verify(self, token: str) -> Mapping[str, object]:
        """Return the claims of a token with a valid signature.

        Raises:
            UnauthenticatedError: It is malformed, or not signed with a published key.
            KeysUnavailableError: The keys could not be fetched.
        """
        keys = self._keys.current
        if keys and keys.is_fresh(self._now()) and (known := keys.proven.get(token)):
            return known
        parts = _take_apart(token)
        if token.endswith(_SIGNATURE_REMOVED):
            if not self._platform_checks:
                raise UnauthenticatedError("signature removed, and ADJOURN_PLATFORM is verify")
            return _object(parts.payload)
        keys = self._keys.with_id(parts.key_id)
        if not keys.verifiers[parts.key_id].verify(parts.signed, parts.signature):
            raise UnauthenticatedError("bad signature")
        claims = _object(parts.payload)
        if len(keys.proven) >= _MAX_PROVEN:
            keys.proven.clear()
        keys.proven[token] = claims
        return claims


def _take_apart(token: str) -> _Token:
    signed, _, signature = token.encode(errors="replace").rpartition(b".")
    header, *others = signed.split(b".")
    if len(token) > _MAX_TOKEN or len(others) != 1:
        raise UnauthenticatedError("malformed token")
    return _Token(_key_id(header), signed, payload=others[0], signature=_decoded(signature))


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
        value = json.loads(_decoded(part).decode())
    except (ValueError, RecursionError):
        raise UnauthenticatedError("malformed token") from None
    if not isinstance(value, dict):
        raise UnauthenticatedError("malformed token")
    return value


def _decoded(part: bytes) -> bytes:
    padding = b"=" * (-len(part) % 4)
    try:
        return binascii.a2b_base64(part.translate(_TO_BASE64) + padding, strict_mode=True)
    except binascii.Error:
        raise UnauthenticatedError("malformed token") from None
