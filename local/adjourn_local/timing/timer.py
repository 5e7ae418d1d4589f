"""A wake-up call on the stack's clock."""

import asyncio
from collections.abc import Callable

from adjourn_local.timing.clock import Clock
from adjourn_local.timing.timestamps import SECOND, micros

# A laptop that slept leaves the event loop's time behind the calendar's: look again now and then.
_LONGEST_NAP = 30.0


class Alarm:
    """Calls `ring` at the earliest instant that was asked for since it last rang."""

    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._at: int | None = None
        self._sleeper: asyncio.Task[None] | None = None

    def set(self, at: int) -> None:
        """Ring at `at`, unless a ring is due by then anyway."""
        if self._at is None or at < self._at:
            self.cancel()
            self._at = at
            self._sleeper = asyncio.create_task(self._sleep(at))

    def cancel(self) -> None:
        """Do not ring."""
        self._at = None
        if self._sleeper is not None:
            self._sleeper.cancel()
            self._sleeper = None

    async def _sleep(self, at: int) -> None:
        while (left := at - micros(self._clock.now())) > 0:
            await self._clock.sleep(min(left / SECOND, _LONGEST_NAP))
        self._at = self._sleeper = None
        self._ring()
