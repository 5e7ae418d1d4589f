"""How much a body may hold when it is decoded, so that none takes more than a call is worth.

A compressed body of 65 KB can hold 64 MB, and 64 MB of JSON can take gigabytes as Python's objects.
So both are limited before they are made: the bytes while a body is inflated, the values by counting
the marks that separate them in the JSON.
"""

from __future__ import annotations

import decimal
import zlib
from collections import Counter
from collections.abc import Sequence
from types import NoneType
from typing import NamedTuple

from adjourn.errors import DecodeError

# A JSON object begins with a brace, a zlib stream with this (RFC 1950).
ZLIB = b"\x78"
MOST_DIGITS = 4300  # Python's own limit, unless it is set to another one
NATIVE_BITS = 1024  # Python can be set to refuse ints of more than 640 digits
_PIECE = 1 << 16
# Pairs of equal hashes for each key, and beside them, as -1 and -2 have one.
_PAIRS_OF_PLAIN, _PAIRS_OF_OTHERS, _PAIRS_BESIDE = 16, 1, 2
_PLAIN = frozenset({NoneType, bool, int, float, str, bytes, decimal.Decimal})


class Budget(NamedTuple):
    """The limits of a body.

    Attributes:
        size: Bytes of its JSON.
        values: Values in its JSON, those in lists and objects included. One of a type that JSON
            lacks counts as one more.
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

    Each of them would be compared with all others, which takes minutes for a million; to compare
    two keys of Datastore takes a hundred times as long as to compare two numbers.

    Raises:
        ValueError: There are too many pairs of them.
    """
    count = len(keys)
    if len(set(map(hash, keys))) == count:
        return
    pairs = sum(alike * (alike - 1) // 2 for alike in Counter(map(hash, keys)).values())
    if pairs > _PAIRS_BESIDE + count * _PAIRS_OF_OTHERS:
        most = _PAIRS_OF_PLAIN if all(map(_is_plain, keys)) else _PAIRS_OF_OTHERS
        if pairs > _PAIRS_BESIDE + count * most:
            raise ValueError("too many keys or members have the same hash")


def _is_plain(value: object) -> bool:
    """Whether values such as this one are compared fast."""
    kind = type(value)
    return kind in _PLAIN or (kind in {tuple, frozenset} and all(map(_is_plain, value)))  # type: ignore[call-overload]


def no_number(constant: str) -> float:
    """Refuse NaN and Infinity, which Python's reader of JSON takes.

    Raises:
        ValueError: Always.
    """
    raise ValueError(f"{constant} is not a number of JSON")


def limited_int(digits: str) -> int:
    """Return a number of JSON, for processes that have lifted Python's own limit.

    Raises:
        ValueError: It has too many digits: the time that it takes grows with their square.
    """
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number has more than {MOST_DIGITS:,} digits")
    return int(digits)


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
    return marks if marks <= enough else _marks_outside_texts(json)


def _marks_outside_texts(json: bytes) -> int:
    """Count marks but for those in texts, a piece at a time: there may be millions of texts."""
    plain = json.replace(b"\\\\", b"").replace(b'\\"', b"")
    marks, is_text = 1, False
    for start in range(0, len(plain), _PIECE):
        parts = plain[start : start + _PIECE].split(b'"')
        marks += _marks(b"".join(parts[is_text::2])) - 1
        # A marker begins with the quotation mark that was split at.
        marks += sum(part.startswith(b"$") for part in parts[not is_text :: 2])
        is_text ^= len(parts) % 2 == 0
    return marks


def _marks(json: bytes) -> int:
    return 1 + json.count(b",") + json.count(b"[") + json.count(b"{") + json.count(b'"$')
