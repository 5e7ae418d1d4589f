"""Decide who may call the functions, from verified claims of a token or headers of App Engine.

A caller is accepted only for the account that Google vouches for: a service if it is on the list, a
person if the callable task admits them. Headers such as `X-CloudTasks-QueueName` are no evidence,
because anyone can send them; only App Engine strips its own headers from outside requests.
"""

from __future__ import annotations

import datetime as dt
import math
import string
from collections.abc import Mapping, Sequence

from adjourn.errors import ConfigurationError, ForbiddenError, UnauthenticatedError

# Google signs with either (google.oauth2.id_token.verify_oauth2_token accepts both).
GOOGLE_ISSUERS = frozenset({"https://accounts.google.com", "accounts.google.com"})

# The address from which App Engine sends its own requests, and that of older cron jobs
# (https://cloud.google.com/appengine/docs/standard/scheduling-jobs-with-cron-yaml).
_APP_ENGINE = "0.1.0.2"
_OLD_CRON_JOBS = "0.1.0.1"
_QUEUE_OF_CRON = "__cron"

_SKEW = 10.0  # seconds by which Google's clock may differ from ours
_MAX_HEADER = 8192
_ALPHABET = f"{string.ascii_letters}{string.digits}-_.".encode()  # RFC 7515, 3.1


class CallerPolicy:
    """Which services may call: tokens for one of `audiences`, held by one of `emails`.

    Raises:
        ConfigurationError: The policy could accept nobody.
    """

    def __init__(self, *, audiences: frozenset[str], emails: frozenset[str]) -> None:
        for name, values in (("audiences", audiences), ("emails", emails)):
            if not values or "" in values:
                raise ConfigurationError(f"name at least one of the {name} to accept, none empty")
        self._audiences = audiences
        self._emails = emails

    def check(self, claims: Mapping[str, object], now: dt.datetime) -> str:
        """Return the email of the caller that verified claims identify.

        Raises:
            UnauthenticatedError: The claims are not valid now, or not meant for us (401).
            ForbiddenError: The caller is not on the list (403).
        """
        email = verified_email(claims, self._audiences, now)
        if email not in self._emails:
            raise ForbiddenError("caller not on the list")
        return email


def verified_email(
    claims: Mapping[str, object], audiences: frozenset[str], now: dt.datetime
) -> str:
    """Return the verified e-mail address in claims that are valid now and meant for us.

    Raises:
        UnauthenticatedError: The claims are not valid now, or not meant for us (401).
        ForbiddenError: They contain no verified address (403).
    """
    if not _is_one_of(claims.get("iss"), GOOGLE_ISSUERS):
        raise UnauthenticatedError("wrong issuer")
    if not _is_one_of(claims.get("aud"), audiences):
        raise UnauthenticatedError("wrong audience")
    _check_times(claims, now.timestamp())
    email = claims.get("email")
    if not isinstance(email, str) or not email:
        raise ForbiddenError("email missing")
    if claims.get("email_verified") is not True:
        raise ForbiddenError("email not verified")
    return email


def _check_times(claims: Mapping[str, object], now: float) -> None:
    expires, issued = _seconds(claims, "exp"), _seconds(claims, "iat")
    if expires is None:
        raise UnauthenticatedError("expiry missing")
    if issued is None:
        raise UnauthenticatedError("issue time missing")
    if expires <= now - _SKEW:
        raise UnauthenticatedError("expired")
    if max(issued, _seconds(claims, "nbf") or 0) > now + _SKEW:
        raise UnauthenticatedError("not yet valid")


def bearer_token(authorization: Sequence[str]) -> str:
    """Return the token in the values of a request's Authorization headers.

    Two headers are refused, even if a server has joined them with a comma, because the platform may
    have checked only one of them.

    Raises:
        UnauthenticatedError: There is not exactly one header, or it holds no signed token.
    """
    if not authorization:
        raise UnauthenticatedError("token missing")
    if len(authorization) > 1:
        raise UnauthenticatedError("several Authorization headers")
    if len(authorization[0]) > _MAX_HEADER:
        raise UnauthenticatedError("token too large")
    scheme, _, token = authorization[0].strip(" \t").partition(" ")
    # The scheme's case does not matter, and several spaces may follow it (RFC 9110, 11.1 and 11.4).
    if scheme.lower() != "bearer":
        raise UnauthenticatedError("wrong scheme")
    token = token.lstrip(" ")
    if not token:
        raise UnauthenticatedError("token missing")
    if not _has_three_parts(token):
        raise UnauthenticatedError("malformed token")
    return token


def _has_three_parts(token: str) -> bool:
    # For each delivery, and twice as fast as a regular expression.
    header, _, rest = token.partition(".")
    claims, _, signature = rest.partition(".")
    is_whole = header and claims and signature and "." not in signature
    return bool(is_whole) and token.isascii() and not token.encode().translate(None, _ALPHABET)


def app_engine_task(address: str, queue: str) -> str:
    """Return the queue that called, for a request of App Engine's task service to its own app.

    Raises:
        UnauthenticatedError: It is no such request.
    """
    if address != _APP_ENGINE:
        raise UnauthenticatedError("not from the address of App Engine's tasks")
    # Requests of cron name a queue, too.
    if not queue or queue == _QUEUE_OF_CRON:
        raise UnauthenticatedError("not from a queue of App Engine")
    return queue


def app_engine_cron(address: str, *, is_cron: bool) -> str:
    """Return the name of App Engine's cron service, for one of its requests to its own app.

    Raises:
        UnauthenticatedError: It is no such request.
    """
    if address not in {_APP_ENGINE, _OLD_CRON_JOBS}:
        raise UnauthenticatedError("not from an address of App Engine's cron service")
    if not is_cron:
        raise UnauthenticatedError("not from App Engine's cron service")
    return _QUEUE_OF_CRON


def _is_one_of(value: object, accepted: frozenset[str]) -> bool:
    return isinstance(value, str) and value in accepted


def _seconds(claims: Mapping[str, object], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if type(value) is int or (type(value) is float and math.isfinite(value)):
        return value
    raise UnauthenticatedError(f"{name} is not a number")
