"""Tokens that are trusted because they were given out here."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from adjourn.errors import UnauthenticatedError
from adjourn.testing.clock import FakeClock


class MemoryVerifier:
    """Trusts the tokens that it gave out, and no others.

    Args:
        clock: Says when a token is given out; it is good for an hour.
    """

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._given: dict[str, Mapping[str, object]] = {}

    def token(self, email: str, audience: str) -> str:
        """Return a token with the claims that Google's have.

        Args:
            email: Whose it is.
            audience: For whom it is, such as the URL of a function.
        """
        now = int(self._clock.now().timestamp())
        claims = {
            "iss": "https://accounts.google.com",
            "aud": audience,
            "email": email,
            "email_verified": True,
            "iat": now,
            "exp": now + 3600,
        }
        payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        token = f"memory.{payload}.{len(self._given)}"
        self._given[token] = claims
        return token

    def verify(self, token: str) -> Mapping[str, object]:
        """Return the claims of a token that was given out.

        Raises:
            UnauthenticatedError: It was not.
        """
        try:
            return self._given[token]
        except KeyError:
            raise UnauthenticatedError("bad signature") from None
