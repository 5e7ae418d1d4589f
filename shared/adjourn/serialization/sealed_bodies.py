"""How sealed bodies are told from others, without a key; see `adjourn.serialization.seals`."""

from __future__ import annotations

# Neither JSON nor zlib nor UTF-8 begins with this.
SEALED = b"\xad"
SIGNED, ENCRYPTED = b"\x01", b"\x02"  # its second byte


def is_sealed(body: bytes) -> bool:
    """Whether a body has a seal, whatever that is worth."""
    return body.startswith(SEALED)


def is_encrypted(body: bytes) -> bool:
    """Whether the seal of a sealed body makes it unreadable."""
    return body[1:2] == ENCRYPTED


def key_of(body: bytes) -> str:
    """Return the id of the key of a sealed body, in hexadecimal."""
    return body[2:6].hex()
