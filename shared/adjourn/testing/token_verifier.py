"""The token verifier in memory, which issues the tokens that it accepts."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from adjourn.errors import UnauthenticatedError
from adjourn.testing.fake_clock import FakeClock


class MemoryVerifier:
    """Accepts only the tokens that it has issued.

    Args:
        clock: Its time is that of issue; a token is valid for an hour.
    """

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._issued: dict[str, Mapping[str, object]] = {}

    def token(self, email: str, audience: str) -> str:
        """Issue a token with the claims of a Google identity token.

        Args:
            email: Whom it identifies.
            audience: Its audience, such as the URL of a function.
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
        token = f"memory.{payload}.{len(self._issued)}"
        self._issued[token] = claims
        return token

    def verify(self, token: str) -> Mapping[str, object]:
        """Return the claims of a token that was issued here.

        Raises:
            UnauthenticatedError: It was not issued here.
        """
        try:
            return self._issued[token]
        except KeyError:
            raise UnauthenticatedError("bad signature") from None
