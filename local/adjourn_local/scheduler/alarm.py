"""A wake-up call on the stack's clock."""

import asyncio
import datetime as dt
from collections.abc import Callable

from adjourn_local.clock import Clock

# A laptop that slept leaves the event loop's time behind the calendar's: look again now and then.
_LONGEST_NAP = 30.0


class Alarm:
    """Calls `ring` at the one instant it is set to."""

    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._sleeper: asyncio.Task[None] | None = None

    def set(self, at: dt.datetime) -> None:
        """Ring at `at` and no longer at the instant set before."""
        self.cancel()
        self._sleeper = asyncio.create_task(self._sleep(at))

    def cancel(self) -> None:
        """Do not ring."""
        if self._sleeper is not None:
            self._sleeper.cancel()
            self._sleeper = None

    async def _sleep(self, at: dt.datetime) -> None:
        while (left := (at - self._clock.now()).total_seconds()) > 0:
            await self._clock.sleep(min(left, _LONGEST_NAP))
        # What rings may set the alarm again, which must not cancel the very task it runs in.
        self._sleeper = None
        self._ring()
