"""How much a body may hold when it is decoded, so that none takes more than a call is worth.

A compressed body of 65 KB can hold 64 MB, and 64 MB of JSON can take gigabytes as Python's objects.
So both are limited before they are made: the bytes while a body is inflated, the values by counting
the marks that separate them in the JSON.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from adjourn.errors import DecodeError

# A JSON object begins with a brace, a zlib stream with this (RFC 1950).
ZLIB = b"\x78"
# Also a text that does not end, so that none is scanned twice.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_MOST_ALIKE = 100


class Budget(NamedTuple):
    """The limits of a body.

    Attributes:
        size: Bytes of its JSON.
        values: Values in its JSON, those in lists and objects included.
    """

    size: int
    values: int

    def holds(self, json: bytes) -> bool:
        """Return whether JSON is within the limits."""
        return len(json) <= self.size and (
            len(json) <= self.values or _values(json, self.values) <= self.values
        )

    def inflated(self, body: bytes) -> bytes:
        """Return the JSON of a body, compressed or not.

        Raises:
            DecodeError: It is beyond the limits, or cut short.
        """
        json = _inflated(body, self.size) if body.startswith(ZLIB) else body
        if not self.holds(json):
            raise DecodeError(
                f"the body has more than {self.size:,} bytes or {self.values:,} values"
            )
        return json


# What comes with a request, and what the application stored for a call that is larger than that.
OF_TASK = Budget(size=12 << 20, values=400_000)
OF_PAYLOAD = Budget(size=64 << 20, values=4_000_000)


def check_hashes(keys: Sequence[object]) -> None:
    """Refuse keys or members that were chosen to have the same hash.

    Each of them would be compared with all others, which takes minutes for a million.

    Raises:
        ValueError: More than a hundred have the same hash.
    """
    if len(keys) > _MOST_ALIKE:
        ((_, alike),) = Counter(map(hash, keys)).most_common(1)
        if alike > _MOST_ALIKE:
            raise ValueError("too many keys or members have the same hash")


def _inflated(body: bytes, longest: int) -> bytes:
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(body, longest)
    except zlib.error as error:
        raise DecodeError("the body is neither JSON nor compressed JSON") from error
    if not inflater.eof:
        raise DecodeError(f"the body is cut short or has more than {longest:,} bytes")
    return plain


def _values(json: bytes, enough: int) -> int:
    """Return the number of values in JSON; a higher one only if that is not above `enough`."""
    marks = _marks(json)
    # Texts may hold such marks, too; to leave them out takes a copy.
    return marks if marks <= enough else _marks(_STRING.sub(b"", json))


def _marks(json: bytes) -> int:
    return 1 + json.count(b",") + json.count(b"[") + json.count(b"{")
