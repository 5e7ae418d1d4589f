"""The time of the laptop stack: every server reads and awaits it here, so that tests can set it."""

import asyncio
import datetime as dt
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

from adjourn_local.timing.clock_offset import Shift


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


class SteeredClock:
    """The machine's time, until somebody freezes or moves it.

    It belongs to one event loop: steer it on that loop's thread.

    Args:
        machine: The time that it goes by.
    """

    def __init__(self, machine: Clock | None = None) -> None:
        self._machine = machine or SystemClock()
        self._shift = Shift()
        self._steered = asyncio.Event()
        self._told: Path | None = None

    @property
    def is_frozen(self) -> bool:
        """Whether it stands still."""
        return self._shift.frozen_at is not None

    def now(self) -> dt.datetime:
        """Return its time in UTC."""
        return self._shift.of(self._machine.now())

    async def sleep(self, seconds: float) -> None:
        """Sleep until so many of its seconds have passed, in whatever way."""
        due = self.now() + dt.timedelta(seconds=seconds)
        while (left := (due - self.now()).total_seconds()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(None if self.is_frozen else left):
                    await self._steered.wait()

    def freeze(self) -> None:
        """Stand still."""
        self._steer(Shift(frozen_at=self.now()))

    def go(self) -> None:
        """Go on from where it stands."""
        self._steer(Shift(self.now() - self._machine.now()))

    def jump(self, to: dt.datetime) -> None:
        """Be at another time at once, earlier or later."""
        self._steer(self._shift.to(to, self._machine.now()))

    def reset(self) -> None:
        """Go by the machine's time again."""
        self._steer(Shift())

    def share(self, path: Path) -> None:
        """Tell a file from now on how to get from the machine's time to this one."""
        self._told = path
        self._tell()

    def _steer(self, shift: Shift) -> None:
        self._shift = shift
        self._tell()
        waiting, self._steered = self._steered, asyncio.Event()
        waiting.set()

    def _tell(self) -> None:
        if self._told is not None:
            with self._told.open("r+b", buffering=0) as file:
                file.write(self._shift.encode())


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
