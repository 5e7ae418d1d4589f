"""Values as in an index of Datastore: sorted by their types, then by value.

The order of the types is: null, integers and times (as microseconds), booleans, texts and bytes,
floating point numbers, points, keys
(https://cloud.google.com/datastore/docs/concepts/entities#value_type_ordering). A ranked value is
a list that sorts in this order and that JSON can encode.
"""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from types import NoneType
from typing import Any

from adjourn.errors import StoreRefusedError

Ranked = list[Any]

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_SIGN, _ALL = 1 << 63, (1 << 64) - 1


def key_of(entry: Any) -> Any:
    """Return the key of an entity of google-cloud-datastore; None for anything else."""
    return entry.key if hasattr(entry, "exclude_from_indexes") else None


def path_of(key: Any) -> Ranked:
    """Return a sort key for a key: by kind, ids before names, ancestors before descendants."""
    path = key.flat_path
    steps = zip(path[::2], path[1::2], strict=True)
    return [[kind, int(isinstance(last, str)), last] for kind, last in steps]


def ranked(value: Any) -> Ranked:
    """Return the ranked value of a value.

    Raises:
        StoreRefusedError: Datastore does not index such values.
    """
    for kind, rank in _RANKS.items():
        if isinstance(value, kind):
            return rank(value)
    if hasattr(value, "latitude"):
        return [5, _bits(value.latitude), _bits(value.longitude)]
    if hasattr(value, "flat_path"):
        return [6, value.project, value.database or "", value.namespace or "", path_of(value)]
    raise StoreRefusedError(f"{value!r:.200} is not a value that Datastore can filter or sort by.")


def scalars(entry: object, wanted: Collection[str]) -> Mapping[str, Sequence[object]]:
    """Return the indexed values of the wanted properties of an entry.

    Of a list, each element is indexed. A property of an embedded entity has a dotted name.
    """
    found: dict[str, list[object]] = {}
    if wanted and isinstance(entry, Mapping):
        _collect(entry, "", wanted, found)
    return found


def projected(value: object) -> object:
    """Return a value as a projection does: times as microseconds, bytes as text if possible."""
    if isinstance(value, dt.datetime):
        return _micros(value)
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value


def _collect(
    properties: Mapping[str, Any],
    prefix: str,
    wanted: Collection[str],
    found: dict[str, list[object]],
) -> None:
    excluded = getattr(properties, "exclude_from_indexes", ())
    for name, value in properties.items():
        if name in excluded:
            continue
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, Mapping):
                _collect(each, f"{prefix}{name}.", wanted, found)
            elif prefix + name in wanted:
                found.setdefault(prefix + name, []).append(each)


def _bits(number: float) -> int:
    bits = int.from_bytes(struct.pack(">d", number))
    return bits ^ (_ALL if bits & _SIGN else _SIGN)


def _micros(timestamp: dt.datetime) -> int:
    aware = timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=dt.UTC)
    return (aware - _EPOCH) // dt.timedelta(microseconds=1)


# A bool is an int, so bool comes first. Latin-1 keeps the order of the bytes.
_RANKS: Mapping[type, Callable[[Any], Ranked]] = {
    NoneType: lambda _: [0],
    bool: lambda value: [2, value],
    int: lambda value: [1, value],
    dt.datetime: lambda value: [1, _micros(value)],
    str: lambda value: [3, value.encode().decode("latin-1")],
    bytes: lambda value: [3, value.decode("latin-1")],
    float: lambda value: [4, _bits(value)],
}
