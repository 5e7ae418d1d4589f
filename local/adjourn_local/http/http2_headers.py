"""The headers of requests over HTTP/2, as a server receives them (RFC 9113, section 8; RFC 7541).

hpack decodes them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import hpack

from adjourn_local.http.http2_frames import COMPRESSION, MAX_BLOCK, Http2Error

_MAX_KNOWN = 100
_LONGEST_KNOWN = 1 << 10
# RFC 9113, 6.5.2: what each field counts besides its name and its value.
_FIELD_BYTES = 32
_NEEDED = frozenset({":method", ":scheme", ":path"})
_ALLOWED = _NEEDED | {":authority"}
# RFC 9113, 8.2.1 and 8.2.2
_NAME = re.compile(r":?[!#$%&'*+\-.^_`|~0-9a-z]+")
_NOT_IN_VALUES = re.compile(r"[\0\r\n]")
_OF_CONNECTIONS = frozenset(
    {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}
)
_MOST_DIGITS = 18

Fields = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Headers:
    """The headers, or the trailers, of a request.

    Attributes:
        fields: The values by their names. Several of one name are joined by commas.
        size: Their size in bytes, as RFC 9113, 6.5.2 counts it.
        length: How long the body is, as they say; None if they do not.
        is_request: Whether they may begin a request.
        is_trailers: Whether they may end one.
    """

    fields: Mapping[str, str]
    size: int
    length: int | None
    is_request: bool
    is_trailers: bool


class HeaderDecoder:
    """Decodes the header blocks of a connection, of which each may refer to those before it."""

    def __init__(self) -> None:
        self._decoder = hpack.Decoder(MAX_BLOCK)
        self._known: dict[bytes, Headers] = {}

    def decode(self, block: bytes) -> Headers:
        """Return the headers in a block.

        A client sends most of its calls with the same headers, in the same few bytes. They are
        decoded once, as long as no block changes the table to which they refer (RFC 7541, 2.3.2).

        Raises:
            Http2Error: They cannot be decoded, so that no later block can be.
        """
        if headers := self._known.get(block):
            return headers
        first, sizes = self._table()
        try:
            found = self._decoder.decode(block, raw=True)
        except hpack.HPACKError as error:
            raise Http2Error(COMPRESSION, str(error)) from None
        headers = _headers([(_text(name), _text(value)) for name, value in found])
        first_now, sizes_now = self._table()
        if first_now is not first or sizes_now != sizes:
            self._known.clear()
        elif len(self._known) < _MAX_KNOWN and len(block) <= _LONGEST_KNOWN:
            self._known[block] = headers
        return headers

    def _table(self) -> tuple[Any, tuple[int, int]]:
        """Return the newest entry of the table of headers, and its sizes: a change changes one."""
        table = self._decoder.header_table
        entries = table.dynamic_entries
        return entries[0] if entries else None, (len(entries), table.maxsize)


def _text(data: Any) -> str:
    return bytes(data).decode(errors="replace")


def _headers(fields: Fields) -> Headers:
    values: dict[str, str] = {}
    for name, value in fields:
        values[name] = f"{values[name]},{value}" if name in values else value
    pseudo = [name for name, _ in fields if name.startswith(":")]
    length = values.get("content-length", "")
    has_length = length.isascii() and length.isdecimal() and len(length) <= _MOST_DIGITS
    is_sound = all(map(_is_sound, fields)) and (has_length or "content-length" not in values)
    return Headers(
        fields=values,
        size=sum(len(name) + len(value) + _FIELD_BYTES for name, value in fields),
        length=int(length) if has_length else None,
        is_request=is_sound and bool(values.get(":path")) and _are_of_a_request(pseudo, fields),
        is_trailers=is_sound and not pseudo,
    )


def _is_sound(field: tuple[str, str]) -> bool:
    name, value = field
    if name in _OF_CONNECTIONS or (name == "te" and value != "trailers"):
        return False
    return bool(_NAME.fullmatch(name)) and not _NOT_IN_VALUES.search(value)


def _are_of_a_request(pseudo: Sequence[str], fields: Fields) -> bool:
    """Return whether the pseudo-headers are complete, each once, and before all others."""
    first = [name for name, _ in fields[: len(pseudo)]]
    return first == pseudo and len({*pseudo}) == len(pseudo) and _NEEDED <= {*pseudo} <= _ALLOWED
