"""The identity of a user, from the claims of a verified token."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from adjourn.clock import Clock
from adjourn.errors import ForbiddenError
from adjourn.execution.delivery import UserRequest
from adjourn.ports import TokenVerifier
from adjourn.requests.auth import bearer_token, verified_email
from adjourn.settings import Settings

# The domain of service accounts and of Google's own agents ends like this
# (https://cloud.google.com/iam/docs/service-account-types).
_SERVICES = ".gserviceaccount.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user whom Google has authenticated.

    Attributes:
        id: Id of the account, which stays when the address changes; "" if the token has none.
        email: Verified e-mail address.
        domain: Google Workspace or Cloud organisation that the account belongs to; "" for none.
    """

    id: str
    email: str
    domain: str


def user_identifier(
    settings: Settings, verifier: TokenVerifier, clock: Clock
) -> Callable[[UserRequest], User] | None:
    """Return a function that returns the user of a request or raises a `CallerError`.

    Return None if the settings accept no users.
    """
    audiences = frozenset(settings.people_audiences)
    if not audiences:
        return None

    def identify(request: UserRequest) -> User:
        claims = verifier.verify(bearer_token(request.authorization))
        return identified_user(claims, audiences, settings.accepted_callers(), clock.now())

    return identify


def identified_user(
    claims: Mapping[str, object],
    audiences: frozenset[str],
    services: frozenset[str],
    now: dt.datetime,
) -> User:
    """Return the user whom verified claims identify.

    Args:
        claims: The claims of the token.
        audiences: The accepted audiences.
        services: Service accounts, which are not users whatever their addresses look like.
        now: The present.

    Raises:
        UnauthenticatedError: The audience is wrong, or the token is not valid now (401).
        ForbiddenError: The claims identify no user, or do not verify the address (403).
    """
    email = verified_email(claims, audiences, now)
    if email in services or email.lower().endswith(_SERVICES):
        raise ForbiddenError("a service account is not a user")
    return User(id=_text(claims, "sub"), email=email, domain=_text(claims, "hd"))


def _text(claims: Mapping[str, object], name: str) -> str:
    value = claims.get(name)
    return value if isinstance(value, str) else ""
