"""Values as Terraform sends them: msgpack, in which what is not yet known is an extension type."""

from typing import Any

import msgpack


class _Unknown:
    def __repr__(self) -> str:
        return "(known after apply)"


UNKNOWN = _Unknown()
Value = Any  # None, bool, int, float, str, list, dict, or UNKNOWN
State = dict[str, Value]


def load(data: bytes) -> Value:
    return msgpack.unpackb(data, ext_hook=lambda _code, _data: UNKNOWN)


def dump(value: Value) -> bytes:
    return msgpack.packb(value, default=_extension)


def _extension(value: object) -> msgpack.ExtType:
    if value is UNKNOWN:
        return msgpack.ExtType(0, b"\0")
    raise TypeError(f"Terraform has no {value!r}")
