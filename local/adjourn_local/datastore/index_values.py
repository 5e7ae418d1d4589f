"""Encode property values as bytes that sort as in the service.

Order of types: null; integers and timestamps (as microseconds) together; booleans; blobs and
strings together; doubles; points; keys
(https://cloud.google.com/datastore/docs/concepts/entities#value_type_ordering). No encoding is a
prefix of another, so concatenated values sort as tuples do, and inverted bytes sort descending.
"""

import struct
from collections.abc import Callable
from typing import Any

from adjourn_local.datastore import keys
from adjourn_local.datastore.messages import Value, invalid
from adjourn_local.timing.timestamps import read

_NULL, _INTEGER, _BOOLEAN, _TEXT, _DOUBLE, _POINT, _KEY, _PATH = range(0x10, 0x90, 0x10)
NULL = bytes([_NULL])
_TAGS = {n: bytes([n]) for n in (_NULL, _INTEGER, _BOOLEAN, _TEXT, _DOUBLE, _POINT, _KEY)}
# https://cloud.google.com/datastore/docs/concepts/metadataqueries#property_queries_property_representations
REPRESENTATIONS = {
    bytes([_NULL]): "NULL",
    bytes([_INTEGER]): "INT64",
    bytes([_BOOLEAN]): "BOOLEAN",
    bytes([_TEXT]): "STRING",
    bytes([_DOUBLE]): "DOUBLE",
    bytes([_POINT]): "POINT",
    bytes([_KEY]): "REFERENCE",
}
_FIXED = {_NULL: 1, _INTEGER: 9, _BOOLEAN: 2, _DOUBLE: 9, _POINT: 17}
_INTEGER_BIAS = 1 << 63
_SIGN = 1 << 63
_ALL = (1 << 64) - 1
_INVERT = bytes(range(255, -1, -1))
_NAN = 0x7FF8 << 48
_pack_double = struct.Struct(">d").pack

# Tells a client that this is an index value: timestamps are integers in microseconds, and blobs
# that are valid UTF-8 are strings.
_MEANING_INDEX_VALUE = 18


def invert(data: bytes) -> bytes:
    """Return bytes that sort in the opposite order."""
    return data.translate(_INVERT)


def encode(value: Any) -> bytes | None:
    """Encode a value; None for an entity or an array, which have no index entry."""
    encoder = ENCODERS.get(value.WhichOneof("value_type"))
    return encoder(value) if encoder else None


def encode_filter(value: Any) -> bytes:
    """Encode the value of a filter.

    Raises:
        RpcError: Values of this type are not indexed.
    """
    which = value.WhichOneof("value_type")
    if which is None:
        raise invalid("The filter value does not contain a value.")
    encoded = encode(value)
    if encoded is None:
        article = "A list" if which == "array_value" else "An entity"
        raise invalid(f"{article} value is not allowed")
    return encoded


def encode_own_path(path: bytes) -> bytes:
    """Encode an entity's own path as the value of `__key__` in an index row."""
    return b"\x80" + path + keys.PATH_END


def end(data: bytes, start: int) -> int:
    """Return the end of the encoded value that begins at `start`."""
    tag = data[start]
    fixed = _FIXED.get(tag)
    if fixed:
        return start + fixed
    if tag == _TEXT:
        return keys.text_end(data, start + 1)
    if tag == _PATH:
        return keys.path_end(data, start + 1) + 2
    return keys.key_value_end(data, start + 1)


def decode(data: bytes) -> Any:
    """Decode an index entry to a value, as a projection returns it."""
    value = Value()
    _DECODERS[data[0]](data, value)
    value.meaning = _MEANING_INDEX_VALUE
    return value


def _integer(number: int) -> bytes:
    return b"\x20" + (number + _INTEGER_BIAS).to_bytes(8)


def _double(number: float) -> bytes:
    bits = int.from_bytes(_pack_double(number))
    if number != number:  # noqa: PLR0124 - only NaN differs from itself
        bits = _NAN
    return (bits ^ (_ALL if bits & _SIGN else _SIGN)).to_bytes(8)


def _undouble(data: bytes) -> float:
    bits = int.from_bytes(data)
    bits ^= _SIGN if bits & _SIGN else _ALL
    number: float = struct.unpack(">d", bits.to_bytes(8))[0]
    return number


def _timestamp(value: Any) -> bytes:
    return _integer(read(value.timestamp_value))


def _point(value: Any) -> bytes:
    point = value.geo_point_value
    return _TAGS[_POINT] + _double(point.latitude) + _double(point.longitude)


ENCODERS: dict[str | None, Callable[[Any], bytes]] = {
    "null_value": lambda _: NULL,
    "integer_value": lambda value: _integer(value.integer_value),
    "timestamp_value": _timestamp,
    "boolean_value": lambda value: b"\x30\x01" if value.boolean_value else b"\x30\x00",
    "string_value": lambda value: b"\x40" + keys.encode_text(value.string_value.encode()),
    "blob_value": lambda value: b"\x40" + keys.encode_text(value.blob_value),
    "double_value": lambda value: b"\x50" + _double(value.double_value),
    "geo_point_value": _point,
    "key_value": lambda value: b"\x70" + keys.encode_key_value(value.key_value),
}


def _decode_integer(data: bytes, value: Any) -> None:
    value.integer_value = int.from_bytes(data[1:]) - _INTEGER_BIAS


def _decode_text(data: bytes, value: Any) -> None:
    text = keys.decode_text(data, 1, len(data))
    try:
        value.string_value = text.decode()
    except UnicodeDecodeError:
        value.blob_value = text


def _decode_null(_: bytes, value: Any) -> None:
    value.null_value = 0


def _decode_boolean(data: bytes, value: Any) -> None:
    value.boolean_value = data[1] == 1


def _decode_double(data: bytes, value: Any) -> None:
    value.double_value = _undouble(data[1:])


def _decode_point(data: bytes, value: Any) -> None:
    value.geo_point_value.latitude = _undouble(data[1:9])
    value.geo_point_value.longitude = _undouble(data[9:])


def _decode_key(data: bytes, value: Any) -> None:
    keys.decode_key_value(data, 1, value.key_value)


_DECODERS: dict[int, Callable[[bytes, Any], None]] = {
    _NULL: _decode_null,
    _INTEGER: _decode_integer,
    _BOOLEAN: _decode_boolean,
    _TEXT: _decode_text,
    _DOUBLE: _decode_double,
    _POINT: _decode_point,
    _KEY: _decode_key,
}
