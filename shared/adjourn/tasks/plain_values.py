"""Plain values of options: what members of enums, numbers of NumPy and other subclasses stand for.

What is stored and sent is made of the plain ones, so that it reads the same everywhere.
"""

from __future__ import annotations

import datetime as dt
import operator
from typing import Any

from adjourn.clock import in_utc
from adjourn.errors import DeclarationError
from adjourn.names import plain_text
from adjourn.tasks import collecting

_NEVER = dt.datetime.max.replace(tzinfo=dt.UTC)


def plain_number(value: Any) -> Any:
    """Return the int of an `IntEnum` member or of NumPy; anything else, such as bool, as it is."""
    if isinstance(value, bool):
        return value
    try:
        return operator.index(value)
    except TypeError:
        return value


def plain_duration(name: str, value: Any) -> Any:
    """Return seconds, or a subclass of timedelta, as a timedelta; None stays None.

    Raises:
        DeclarationError: It is neither; the message names the option.
    """
    if value is None:
        return None
    if isinstance(value, dt.timedelta):
        return dt.timedelta.__pos__(value)
    if not _is_number(value):
        raise DeclarationError(f"{name}={value!r} must be a timedelta or a number of seconds.")
    try:
        return dt.timedelta(seconds=float(value))
    except (OverflowError, ValueError):
        raise DeclarationError(f"{name}={value!r} is not a number of seconds.") from None


def plain_instant(value: Any) -> Any:
    """Return an aware datetime as a plain one in UTC; anything else as it is."""
    if not is_aware(value):
        return value
    try:
        return in_utc(value)
    except OverflowError:
        return _NEVER


def is_aware(value: object) -> bool:
    """Whether it is an aware datetime."""
    return isinstance(value, dt.datetime) and value.utcoffset() is not None


def _is_number(value: object) -> bool:
    if isinstance(value, bool | int | float):
        return not isinstance(value, bool)
    from numbers import Real  # noqa: PLC0415 - for numbers of other libraries

    return isinstance(value, Real)


_DURATIONS = frozenset(
    {"delay", "expires", "timeout", "min_backoff", "max_backoff", "spread", "unique_for"}
    | {"keep_result"}
    | collecting.DURATIONS
)
_TEXTS = frozenset({"by", "call_name", "queue", "unique_by", "unique_until"})


def plain_option(name: str, value: Any) -> Any:
    """Return the plain value of an option; anything else as it is."""
    if name in _DURATIONS:
        return plain_duration(name, value)
    if name in _TEXTS:
        return plain_text(value)
    if name == "eta":
        return plain_instant(value)
    if name == "flow" and value is not None:
        from adjourn.flow.limits import checked  # noqa: PLC0415 - for limited tasks

        return checked(value)
    return plain_number(value) if name == "max_retries" else value
