"""The pace of a shard: when its next entities may be handled, so that its run is not too fast."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from adjourn.clock import Clock
from adjourn.iteration.runs import Run
from adjourn.iteration.shards import UNINDEXED, Shard, shard_key
from adjourn.ports import Transaction

# A step that would have to wait longer is put off instead, so that it holds no instance meanwhile.
_LONGEST_WAIT = 5.0  # seconds

# Entities may come so much too early one after the other, since waits of a millisecond are inexact.
_LEEWAY = 0.1  # seconds


class Pace:
    """Spaces out the entities of a shard.

    The shards that are at work share the pace of their run equally, so that together they keep to
    it without asking each other.

    Args:
        clock: The time.
        until: When the shard's next entity may be handled, by what its last step did; None if at
            once.
    """

    def __init__(self, clock: Clock, until: dt.datetime | None) -> None:
        self._clock = clock
        self._until = until
        self._next: float | None = None
        self._per_second: float | None = None

    def follow(self, run: Run) -> None:
        """Adopt the pace that the run has now, and how many shards share it."""
        pace = run.entities_per_second
        self._per_second = None if pace is None else pace / max(1, len(run.active))

    def most(self, seconds: float) -> int | None:
        """Return how many entities may be handled within so many seconds, at least 1.

        None stands for any number.
        """
        per_second = self._per_second
        return None if per_second is None else max(1, int(per_second * seconds))

    def take(self, count: int, deadline: float, wait: Callable[[float], object]) -> bool:
        """Wait until entities may be handled, and count them; False if it is not their time yet.

        Args:
            count: How many they are.
            deadline: Until when to wait at the latest, on the monotonic clock.
            wait: Waits for some seconds; it may return sooner.
        """
        if seconds := self._delay():
            if seconds > _LONGEST_WAIT or self._clock.monotonic() + seconds > deadline:
                return False
            wait(seconds)
            if self._delay():
                return False
        per_second = self._per_second  # the heartbeat may change it at any moment
        if per_second is not None:
            due = max(self._due(per_second), self._clock.monotonic())
            self._next = due + count / per_second
        return True

    def until(self) -> dt.datetime | None:
        """Return when the next entity may be handled, for the shard's next step."""
        if self._next is None:
            return self._until
        ahead = max(0.0, self._next - self._clock.monotonic())
        return self._clock.now() + dt.timedelta(seconds=ahead)

    def _delay(self) -> float:
        """Return in how many seconds the next entity may be handled; 0 for now."""
        per_second = self._per_second
        if per_second is None:
            return 0.0
        ahead = self._due(per_second) - self._clock.monotonic()
        return ahead if ahead > _LEEWAY else 0.0

    def _due(self, per_second: float) -> float:
        """Return when the next entity may be handled, on the monotonic clock."""
        if self._next is None:
            ahead = 0.0
            if self._until is not None:
                # No longer than what a step can be ahead: other machines have other clocks.
                longest = max(1.0, 1 / per_second)
                ahead = min(longest, (self._until - self._clock.now()).total_seconds())
            self._next = self._clock.monotonic() + max(0.0, ahead)
        return self._next


def hand_on(transaction: Transaction, ended: Shard, successor: int) -> None:
    """Let the shard that follows another one begin no sooner than that one could go on."""
    (record,) = transaction.get([shard_key(ended.run_id, successor)])
    if record is not None:
        paced = {**record, "paced_until": ended.paced_until}
        transaction.put(shard_key(ended.run_id, successor), paced, unindexed=UNINDEXED)
