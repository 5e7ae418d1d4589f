"""The window in which calls are collected: how long it is open, and by which names it is known."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, NamedTuple

from adjourn.errors import DecodeError
from adjourn.names import digest_of


class Stamp(NamedTuple):
    """Which of two calls is the later one.

    Attributes:
        at: When the call was made.
        call: Its id, which decides between calls of the same time.
    """

    at: dt.datetime
    call: str


class Window(NamedTuple):
    """A window of calls that belong together.

    Attributes:
        key: Digest of what they have in common.
        generation: The number of windows before it.
        wait: Seconds without a call after which it ends; of throttled calls, its length.
        longest: Seconds after which it ends in any case; None for no limit.
        first: The call that opened it; with an empty id, one that ran at the end of another window.
        is_throttle: Whether the first call runs at once.
    """

    key: str
    generation: int
    wait: float
    longest: float | None
    first: Stamp
    is_throttle: bool

    @property
    def task_name(self) -> str:
        """Short name of the task that waits for its end, which is also the id of its call."""
        return f"{digest_of('window', self.key, str(self.generation))}-window"

    def end(self, last: dt.datetime) -> dt.datetime:
        """Return when it ends if the last call came at a time."""
        if self.is_throttle:
            return self.first.at + dt.timedelta(seconds=self.wait)
        end = last + dt.timedelta(seconds=self.wait)
        if self.longest is None:
            return end
        return min(end, self.first.at + dt.timedelta(seconds=self.longest))

    def fields(self) -> Mapping[str, object]:
        """Return it in plain values of JSON."""
        at, call = self.first
        return {**self._asdict(), "first": [at.isoformat(), call]}

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Window:
        """Return the window in a task.

        Raises:
            DecodeError: There is none.
        """
        try:
            at, call = fields["first"]
            first = Stamp(dt.datetime.fromisoformat(at), str(call))
            longest = fields["longest"]
            return cls(
                key=str(fields["key"]),
                generation=int(fields["generation"]),
                wait=float(fields["wait"]),
                longest=None if longest is None else float(longest),
                first=first,
                is_throttle=bool(fields["is_throttle"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DecodeError(f"the window of a task cannot be read: {error!r:.100}") from None
