"""Seals: bodies of tasks that are signed, or encrypted, with a key of the application.

A sealed body is, in this order:

* the byte 0xAD, with which no other body begins;
* the sort of seal: 1 signed, 2 encrypted;
* the id of the key, 4 bytes;
* signed: 32 bytes of HMAC-SHA256, then the body;
* encrypted: a random nonce of 24 bytes, then the body under AES-256-GCM with its tag of 16 bytes.

Signature and tag cover the first six bytes and the place as well. The first half of the nonce makes
a key for this body alone, so there may be any number of them under one key.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
from base64 import urlsafe_b64decode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from adjourn.errors import DecodeError, UnknownKeyError
from adjourn.log import event
from adjourn.ports.sealer import ENCRYPTED, SEALED, SIGNED, key_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_HEADER, _MAC, _NONCE, _TAG = 6, 32, 24, 16


class Sort(Enum):
    """What a seal does to a body, by its second byte."""

    SIGNED = SIGNED
    ENCRYPTED = ENCRYPTED


class Key:
    """A key of the application: 32 bytes, from which one is derived for each purpose.

    Args:
        text: The key in base64url.
    """

    def __init__(self, text: str) -> None:
        key = urlsafe_b64decode(f"{text.rstrip('=')}=")
        self.id = _derived(key, "key id")[:4]
        self.signing = _derived(key, "signature")
        self.encrypting = _derived(key, "encryption")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class KeySealer:
    """Seals with the first of its keys, and opens with any; see `adjourn.ports.Sealer`.

    Attributes:
        keys: The keys, the newest first.
        sort: What seals do; None to make none.
        is_required: Whether a body without a seal is refused.
        random: Returns so many random bytes.
    """

    keys: Sequence[Key]
    sort: Sort | None
    is_required: bool
    random: Callable[[int], bytes] = os.urandom

    @property
    def is_sealing(self) -> bool:
        """Whether bodies are sealed."""
        return self.sort is not None

    @property
    def is_encrypting(self) -> bool:
        """Whether seals make bodies unreadable."""
        return self.sort is Sort.ENCRYPTED

    def seal(self, body: bytes, queue: str, name: str) -> bytes:
        """Return a body with a seal of the newest key."""
        key, sort = self.keys[0], self.sort or Sort.SIGNED
        header = SEALED + sort.value + key.id
        covered = header + _place(queue, name)
        if sort is Sort.SIGNED:
            return header + _signature(key, covered, body) + body
        nonce = self.random(_NONCE)
        return header + nonce + _cipher(key, nonce).encrypt(nonce[12:], body, covered)

    def open(self, body: bytes, queue: str, name: str) -> bytes:
        """Return the body inside a seal.

        Raises:
            UnknownKeyError: It was made with another key.
            DecodeError: It does not hold: something was changed, or it is in another place.
        """
        header, content = body[:_HEADER], body[_HEADER:]
        key = next((each for each in self.keys if each.id == header[2:]), None)
        if key is None:
            raise UnknownKeyError(
                f"It is sealed with the key {key_of(body)}, which is not in ADJOURN_ENVELOPE_KEY"
            )
        covered = header + _place(queue, name)
        if header[1:2] not in {SIGNED, ENCRYPTED}:
            raise DecodeError("The seal of the body is of a sort that this adjourn does not know")
        opener = _opened_signed if header[1:2] == SIGNED else _opened_encrypted
        opened = opener(key, content, covered)
        if key is not self.keys[0]:
            text = f"A body is sealed with the key {key_of(body)}, which is not the first here"
            event("seal.old_key", logging.INFO, text)
        return opened


def _opened_signed(key: Key, content: bytes, covered: bytes) -> bytes:
    body = content[_MAC:]
    if not hmac.compare_digest(content[:_MAC], _signature(key, covered, body)):
        raise DecodeError(_BROKEN)
    return body


def _opened_encrypted(key: Key, content: bytes, covered: bytes) -> bytes:
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - for those who encrypt

    nonce = content[:_NONCE]
    if len(content) < _NONCE + _TAG:
        raise DecodeError(_BROKEN)
    try:
        opened: bytes = _cipher(key, nonce).decrypt(nonce[12:], content[_NONCE:], covered)
    except InvalidTag:
        raise DecodeError(_BROKEN) from None
    return opened


_BROKEN = (
    "The seal of the body does not hold: somebody has changed it, or put it into a task of another"
    " name or queue"
)


def _signature(key: Key, covered: bytes, body: bytes) -> bytes:
    return hmac.digest(key.signing, covered + body, hashlib.sha256)


def _cipher(key: Key, nonce: bytes) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - as above

    return AESGCM(hmac.digest(key.encrypting, nonce[:12], hashlib.sha256))


def _place(queue: str, name: str) -> bytes:
    """Return a place as bytes; no two have the same, whatever follows them."""
    return b"".join(b"%d:%b," % (len(part), part) for part in (queue.encode(), name.encode()))


def _derived(key: bytes, purpose: str) -> bytes:
    return hmac.digest(key, f"adjourn envelope {purpose}".encode(), hashlib.sha256)
