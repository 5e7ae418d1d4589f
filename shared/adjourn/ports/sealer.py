"""The port for the keys of an application: what signs or encrypts the bodies of its tasks.

Without a key, a sealed body can only be told from others, and the id of its key be read; its format
is that of `adjourn.serialization.seals`.
"""

from __future__ import annotations

from typing import Protocol

# Neither JSON nor zlib nor UTF-8 begins with this.
SEALED = b"\xad"
SIGNED, ENCRYPTED = b"\x01", b"\x02"  # its second byte


class Sealer(Protocol):
    """Seals bodies, and opens those that hold.

    A seal holds in one place: for a task, its queue and its name.

    Attributes:
        is_required: Whether a body without a seal is refused.
        is_sealing: Whether bodies are sealed; else they are only opened.
        is_encrypting: Whether seals make bodies unreadable; else they only sign them.
    """

    @property
    def is_required(self) -> bool: ...  # noqa: D102
    @property
    def is_sealing(self) -> bool: ...  # noqa: D102
    @property
    def is_encrypting(self) -> bool: ...  # noqa: D102

    def seal(self, body: bytes, queue: str, name: str) -> bytes:
        """Return a body with a seal of the newest key."""

    def open(self, body: bytes, queue: str, name: str) -> bytes:
        """Return the body inside a seal.

        Raises:
            UnknownKeyError: It was made with a key that is not known here.
            DecodeError: It does not hold: something was changed, or it is in another place.
        """


def is_sealed(body: bytes) -> bool:
    """Whether a body has a seal, whatever that is worth."""
    return body.startswith(SEALED)


def is_encrypted(body: bytes) -> bool:
    """Whether the seal of a sealed body makes it unreadable."""
    return body[1:2] == ENCRYPTED


def key_of(body: bytes) -> str:
    """Return the id of the key of a sealed body, in hexadecimal."""
    return body[2:6].hex()
