"""The port for verifying the identity tokens of callers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class TokenVerifier(Protocol):
    """Verifies that a token was signed by Google."""

    def verify(self, token: str) -> Mapping[str, object]:
        """Return the claims of a token with a valid signature.

        Raises:
            UnauthenticatedError: The signature is not valid.
            KeysUnavailableError: The public keys could not be fetched.
        """
