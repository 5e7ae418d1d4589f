"""Who asks: the person for whom Google vouches, by what the claims of a verified token say."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from adjourn.clock import Clock
from adjourn.errors import ForbiddenError
from adjourn.execution.delivery import Asked
from adjourn.ports import TokenVerifier
from adjourn.requests.auth import bearer_token, verified_email
from adjourn.settings import Settings

# Whoever's domain ends so is a service account or one of Google's own agents
# (https://cloud.google.com/iam/docs/service-account-types).
_SERVICES = ".gserviceaccount.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person for whom Google vouches.

    Attributes:
        id: Number of the account, which stays when the address changes; "" if the token has none.
        email: Verified e-mail address.
        domain: Google Workspace or Cloud organisation that the account belongs to; "" for none.
    """

    id: str
    email: str
    domain: str


def identifying(
    settings: Settings, verifier: TokenVerifier, clock: Clock
) -> Callable[[Asked], User] | None:
    """Return what tells who asks, or raises a `CallerError`; None if nobody may ask."""
    audiences = frozenset(settings.people_audiences)
    if not audiences:
        return None

    def identify(asked: Asked) -> User:
        claims = verifier.verify(bearer_token(asked.authorization))
        return person(claims, audiences, settings.accepted_callers(), clock.now())

    return identify


def person(
    claims: Mapping[str, object],
    audiences: frozenset[str],
    services: frozenset[str],
    now: dt.datetime,
) -> User:
    """Return the person whom verified claims identify.

    Args:
        claims: What the token says.
        audiences: For whom it may be meant.
        services: Accounts that are no people, whatever their addresses look like.
        now: The present.

    Raises:
        UnauthenticatedError: The claims are not meant for us, or not now (401).
        ForbiddenError: They identify no person, or not for certain (403).
    """
    email = verified_email(claims, audiences, now)
    if email in services or email.lower().endswith(_SERVICES):
        raise ForbiddenError("a service account is no person")
    return User(id=_text(claims, "sub"), email=email, domain=_text(claims, "hd"))


def _text(claims: Mapping[str, object], name: str) -> str:
    value = claims.get(name)
    return value if isinstance(value, str) else ""
