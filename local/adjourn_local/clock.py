"""The time of the laptop stack: every server reads and awaits it here, so that tests can set it."""

import asyncio
import datetime as dt
from collections.abc import Iterable
from typing import Protocol
from zoneinfo import ZoneInfo


def pacific(at: dt.datetime) -> str:
    """Return an instant as the texts of Google's errors show it: in California's time."""
    return at.astimezone(ZoneInfo("America/Los_Angeles")).isoformat()


class Clock(Protocol):
    """What the servers need of time."""

    def now(self) -> dt.datetime:
        """Return the present as an aware UTC datetime."""

    async def sleep(self, seconds: float) -> None:
        """Return once `seconds` have passed on this clock; at once if zero or less."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> dt.datetime:
        """Return the machine's time in UTC."""
        return dt.datetime.now(dt.UTC)

    async def sleep(self, seconds: float) -> None:
        """Sleep in real time."""
        await asyncio.sleep(max(0.0, seconds))


class ManualClock:
    """A clock that moves only when told; `advance` wakes whoever sleeps until then.

    It belongs to one event loop: call `advance` on that loop's thread.
    """

    def __init__(self, start: dt.datetime) -> None:
        self._now = start
        self._sleepers: dict[asyncio.Future[None], dt.datetime] = {}

    def now(self) -> dt.datetime:
        """Return the time that was last set."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Wait until `advance` has carried the clock past `seconds` from now."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        sleeper = asyncio.get_running_loop().create_future()
        self._sleepers[sleeper] = self._now + dt.timedelta(seconds=seconds)
        try:
            await sleeper
        finally:
            self._sleepers.pop(sleeper, None)

    def advance(self, seconds: float) -> None:
        """Move the clock on and wake, in order, everyone whose time has come."""
        self._now += dt.timedelta(seconds=seconds)
        for sleeper in self._due():
            if not sleeper.done():
                sleeper.set_result(None)

    def _due(self) -> Iterable[asyncio.Future[None]]:
        due = [(at, n) for n, at in enumerate(self._sleepers.values()) if at <= self._now]
        sleepers = list(self._sleepers)
        return [sleepers[n] for _, n in sorted(due)]
