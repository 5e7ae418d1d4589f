"""Timestamps as whole microseconds since 1970, the precision that the services keep."""

import datetime as dt
from typing import Any

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)

SECOND = 1_000_000
DAY = 86_400 * SECOND


def micros(at: dt.datetime) -> int:
    """Convert an aware datetime to microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def instant(at: int) -> dt.datetime:
    """Convert microseconds since 1970 to an aware datetime in UTC."""
    return _EPOCH + at * _MICROSECOND


def span(length: dt.timedelta) -> int:
    """Convert a duration to microseconds."""
    return length // _MICROSECOND


def read(timestamp: Any) -> int:
    """Convert a protobuf Timestamp or Duration to microseconds, truncated."""
    seconds: int = timestamp.seconds
    nanos: int = timestamp.nanos
    return seconds * SECOND + nanos // 1000


def write(timestamp: Any, at: int) -> None:
    """Set a protobuf Timestamp or a positive Duration to a number of microseconds."""
    timestamp.seconds, rest = divmod(at, SECOND)
    timestamp.nanos = rest * 1000
