"""What a flow allows: how many calls run at once, and how many begin in which time."""

from __future__ import annotations

import datetime as dt
import re
from typing import NamedTuple

from adjourn.errors import DeclarationError

_RATE = re.compile("([1-9][0-9]{0,6})/(s|m|h|d)")
_NOTHING = dt.timedelta()
_LONGEST_SLACK = dt.timedelta(minutes=1)
# Calls are called so long before their turn, as tasks and guards may come late; but not more than
# so many, and with a high rate not less than for a moment.
_AHEAD = dt.timedelta(seconds=20)
_MOST_AHEAD = 100
_MOMENT = dt.timedelta(seconds=2)
_PERIODS = {
    "s": dt.timedelta(seconds=1),
    "m": dt.timedelta(minutes=1),
    "h": dt.timedelta(hours=1),
    "d": dt.timedelta(days=1),
}


class Limit(NamedTuple):
    """What a flow allows for a key at present.

    Attributes:
        concurrency: How many calls may run at the same time; None for any number.
        is_paused: Whether none may begin.
        interval: Time between two calls in the long run; None for any rate.
        burst: How many may begin at once when none has begun for long.
    """

    concurrency: int | None
    is_paused: bool = False
    interval: dt.timedelta | None = None
    burst: int = 1

    @property
    def slack(self) -> dt.timedelta:
        """How long after the time of its token a call may begin."""
        if self.interval is None:
            return _NOTHING
        if self.burst == 1:
            return min(self.interval / 2, dt.timedelta(seconds=1))
        return min((self.burst - 1) * self.interval / 2, _LONGEST_SLACK)

    @property
    def spacing(self) -> dt.timedelta:
        """How much later the bucket is full again for each token."""
        interval = self.interval or _NOTHING
        return interval + self.slack if self.burst == 1 else interval

    @property
    def ahead(self) -> dt.timedelta:
        """How long before its turn one that waits is called."""
        return min(_AHEAD, max(_MOMENT, _MOST_AHEAD * self.spacing))

    def next(self, full_at: dt.datetime | None, earliest: dt.datetime) -> dt.datetime:
        """Return the time of the next token.

        Args:
            full_at: When the bucket is full again; None if it is.
            earliest: It is not before this time.
        """
        if self.interval is None or full_at is None:
            return earliest
        tolerance = _NOTHING if self.burst == 1 else (self.burst - 1) * self.interval - self.slack
        return max(earliest, full_at - tolerance)

    def full(self, full_at: dt.datetime | None, token: dt.datetime) -> dt.datetime:
        """Return when the bucket is full again, when the token of a time was taken as well."""
        return max(full_at or token, token) + self.spacing


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
