"""The values of entries as Datastore's indexes have them: sorted by their types, then by value.

Null, whole numbers and times (as microseconds) together, booleans, texts and bytes together,
floating point numbers, points, keys
(https://cloud.google.com/datastore/docs/concepts/entities#value_type_ordering). A value becomes a
list that sorts so and that JSON carries.
"""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from types import NoneType
from typing import Any

from adjourn.errors import StoreError

Ranked = list[Any]

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_SIGN, _ALL = 1 << 63, (1 << 64) - 1


def key_of(entry: Any) -> Any:
    """Return the key of an entity of google-cloud-datastore; None for anything else."""
    return entry.key if hasattr(entry, "exclude_from_indexes") else None


def path_of(key: Any) -> Ranked:
    """Return the path of a key: by kind, numbers before names, ancestors before descendants."""
    path = key.flat_path
    steps = zip(path[::2], path[1::2], strict=True)
    return [[kind, int(isinstance(last, str)), last] for kind, last in steps]


def ranked(value: Any) -> Ranked:
    """Return what stands for a value in an index.

    Raises:
        StoreError: There are no such values in an index.
    """
    for kind, rank in _RANKS.items():
        if isinstance(value, kind):
            return rank(value)
    if hasattr(value, "latitude"):
        return [5, _bits(value.latitude), _bits(value.longitude)]
    if hasattr(value, "flat_path"):
        return [6, value.project, value.database or "", value.namespace or "", path_of(value)]
    raise StoreError(f"{value!r:.200} is no value that Datastore could look for or sort by.")


def scalars(entry: object, wanted: Collection[str]) -> Mapping[str, Sequence[object]]:
    """Return the values of the wanted properties of an entry, as far as they are indexed.

    An array counts by its elements, and what is in an embedded entity stands under a dotted name.
    """
    found: dict[str, list[object]] = {}
    if wanted and isinstance(entry, Mapping):
        _collect(entry, "", wanted, found)
    return found


def projected(value: object) -> object:
    """Return a value as an index gives it: times as microseconds, bytes as text if they are."""
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


def _micros(moment: dt.datetime) -> int:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return (aware - _EPOCH) // dt.timedelta(microseconds=1)


# A bool is an int, so it comes before. Latin-1 keeps the order of the bytes.
_RANKS: Mapping[type, Callable[[Any], Ranked]] = {
    NoneType: lambda _: [0],
    bool: lambda value: [2, value],
    int: lambda value: [1, value],
    dt.datetime: lambda value: [1, _micros(value)],
    str: lambda value: [3, value.encode().decode("latin-1")],
    bytes: lambda value: [3, value.decode("latin-1")],
    float: lambda value: [4, _bits(value)],
}
