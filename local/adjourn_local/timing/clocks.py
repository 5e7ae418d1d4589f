"""Clocks that the servers of the laptop stack read and sleep on, so that tests can set the time."""

import asyncio
import datetime as dt
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

from adjourn_local.timing.clock_offset import SIZE, ClockOffset


def pacific(at: dt.datetime) -> str:
    """Format a time in Pacific time, as Google's error messages do."""
    return at.astimezone(ZoneInfo("America/Los_Angeles")).isoformat()


class StackClock(Protocol):
    """A clock that servers read and sleep on."""

    def now(self) -> dt.datetime:
        """Return the current time as an aware datetime in UTC."""

    async def sleep(self, seconds: float) -> None:
        """Sleep for `seconds` by this clock; return at once if zero or less."""


class MachineClock:
    """The machine's own clock."""

    def now(self) -> dt.datetime:
        """Return the machine's time in UTC."""
        return dt.datetime.now(dt.UTC)

    async def sleep(self, seconds: float) -> None:
        """Sleep in real time."""
        await asyncio.sleep(max(0.0, seconds))


class AdjustableClock:
    """A clock that follows the machine's time until it is frozen or moved.

    It belongs to one event loop: change it on that loop's thread only.

    Args:
        machine: The clock that it follows.
    """

    def __init__(self, machine: StackClock | None = None) -> None:
        self._machine = machine or MachineClock()
        self._offset = ClockOffset()
        self._changed = asyncio.Event()
        self._shared_file: Path | None = None

    @property
    def is_frozen(self) -> bool:
        """Whether the clock is frozen."""
        return self._offset.frozen_at is not None

    def now(self) -> dt.datetime:
        """Return the clock's time in UTC."""
        return self._offset.apply(self._machine.now())

    async def sleep(self, seconds: float) -> None:
        """Sleep until the clock has advanced by `seconds`, whether it runs or is moved."""
        due = self.now() + dt.timedelta(seconds=seconds)
        while (left := (due - self.now()).total_seconds()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(None if self.is_frozen else left):
                    await self._changed.wait()

    def freeze(self) -> None:
        """Stop the clock at its current time."""
        self._change(ClockOffset(frozen_at=self.now()))

    def go(self) -> None:
        """Let a frozen clock run again from the time that it shows."""
        self._change(ClockOffset(self.now() - self._machine.now()))

    def jump(self, to: dt.datetime) -> None:
        """Set the clock to another time, earlier or later; a frozen clock stays frozen."""
        self._change(self._offset.moved_to(to, self._machine.now()))

    def reset(self) -> None:
        """Follow the machine's time again."""
        self._change(ClockOffset())

    def share(self, path: Path) -> None:
        """Write the clock's offset from the machine's time to a new file, now and after changes."""
        path.write_bytes(bytes(SIZE))
        self._shared_file = path
        self._write_shared_file()

    def _change(self, offset: ClockOffset) -> None:
        self._offset = offset
        self._write_shared_file()
        sleepers, self._changed = self._changed, asyncio.Event()
        sleepers.set()

    def _write_shared_file(self) -> None:
        if self._shared_file is not None:
            with self._shared_file.open("r+b", buffering=0) as file:
                file.write(self._offset.encode())


class ManualClock:
    """A clock that moves only when `advance` is called.

    It belongs to one event loop: call `advance` on that loop's thread.
    """

    def __init__(self, start: dt.datetime) -> None:
        self._now = start
        self._sleepers: dict[asyncio.Future[None], dt.datetime] = {}

    def now(self) -> dt.datetime:
        """Return the time that `advance` has reached."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Sleep until `advance` has moved the clock by `seconds`."""
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
        """Move the clock forward and wake the sleepers whose time has come, earliest first."""
        self._now += dt.timedelta(seconds=seconds)
        for sleeper in self._due():
            if not sleeper.done():
                sleeper.set_result(None)

    def _due(self) -> Iterable[asyncio.Future[None]]:
        due = [(at, n) for n, at in enumerate(self._sleepers.values()) if at <= self._now]
        sleepers = list(self._sleepers)
        return [sleepers[n] for _, n in sorted(due)]


class ApplicationClock:
    """A stack's clock, as an application in the same process reads it."""

    def __init__(self, clock: StackClock) -> None:
        self._clock = clock

    def now(self) -> dt.datetime:
        """Return the stack's time in UTC."""
        return self._clock.now()

    def monotonic(self) -> float:
        """Return the machine's monotonic seconds."""
        return time.monotonic()
