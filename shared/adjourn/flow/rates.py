"""Rates, such as "10/s": how many calls may begin in which time."""

from __future__ import annotations

import datetime as dt
import re
from typing import NamedTuple

from adjourn.errors import DeclarationError

_RATE = re.compile("([1-9][0-9]{0,6})/(s|m|h|d)")
_PERIODS = {
    "s": dt.timedelta(seconds=1),
    "m": dt.timedelta(minutes=1),
    "h": dt.timedelta(hours=1),
    "d": dt.timedelta(days=1),
}


class Rate(NamedTuple):
    """A rate.

    Attributes:
        calls: How many calls.
        period: In which time.
    """

    calls: int
    period: dt.timedelta

    @property
    def each(self) -> dt.timedelta:
        """The time for each call, rounded up: to be slower than the rate is within it."""
        return -(-self.period // self.calls // dt.timedelta.resolution) * dt.timedelta.resolution


def rate_of(text: object) -> Rate:
    """Return the rate that a text stands for.

    Raises:
        DeclarationError: It is none.
    """
    found = _RATE.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise DeclarationError(
            f'rate={text!r:.80} must be calls in a time, such as "10/s", "600/m", "5/h" or "1/d".'
        )
    return Rate(int(found[1]), _PERIODS[found[2]])
