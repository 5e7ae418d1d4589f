"""What a single value may be, whether it is stored or compared."""

import math
from collections.abc import Callable
from typing import Any

from adjourn_local.datastore import keys
from adjourn_local.datastore.messages import invalid

LONGEST_INDEXED = 1500  # bytes, https://cloud.google.com/datastore/docs/concepts/limits
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799  # of the years 1 and 9999
_NANOS = 1_000_000_000
_MOST_LATITUDE, _MOST_LONGITUDE = 90, 180


def _check_point(value: Any) -> bool:
    point = value.geo_point_value
    for name, degrees, most in (
        ("latitude", point.latitude, _MOST_LATITUDE),
        ("longitude", point.longitude, _MOST_LONGITUDE),
    ):
        if not (math.isfinite(degrees) and -most <= degrees <= most):
            raise invalid(f"GeoPoint {name} {degrees} is not between -{most} and {most}.")
    return False


def _check_timestamp(value: Any) -> bool:
    time = value.timestamp_value
    if not _FIRST_SECOND <= time.seconds <= _LAST_SECOND:
        raise invalid(f"The timestamp of {time.seconds} seconds is not in the years 1 to 9999.")
    if not 0 <= time.nanos < _NANOS:
        raise invalid(f"The timestamp has {time.nanos} nanoseconds, not 0 to 999,999,999.")
    finer = time.nanos % 1000
    time.nanos -= finer
    return bool(finer)


def _check_key(value: Any) -> bool:
    keys.check_key(value.key_value, reserved=True)
    partition = value.key_value.partition_id
    keys.check_partition(partition.project_id, partition.database_id, partition.namespace_id)
    return False


CHECKS: dict[str | None, Callable[[Any], bool]] = {
    "geo_point_value": _check_point,
    "timestamp_value": _check_timestamp,
    "key_value": _check_key,
}
"""The types whose values can be wrong by themselves. Each check raises an RpcError, or returns
whether it has changed the value: a timestamp is rounded down to microseconds, which is what the
service keeps."""


def check_compared(value: Any) -> None:
    """Refuse a value that no index entry can have.

    Raises:
        RpcError: It is out of range, or too long.
    """
    which = value.WhichOneof("value_type")
    if (check := CHECKS.get(which)) is not None:
        check(value)
    if which in {"string_value", "blob_value"}:
        data = value.blob_value if which == "blob_value" else value.string_value.encode()
        if len(data) > LONGEST_INDEXED:
            raise invalid(f"The value of a filter is longer than {LONGEST_INDEXED} bytes.")


def check_name(what: str, name: str) -> None:
    """Refuse the name of a kind or property that none can have.

    Raises:
        RpcError: It is empty or too long.
    """
    if not name:
        raise invalid(f"The {what} is the empty string.")
    if len(name.encode()) > LONGEST_INDEXED:
        raise invalid(f"The {what} is longer than {LONGEST_INDEXED} bytes.")
