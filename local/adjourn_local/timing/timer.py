"""A timer on the stack's clock."""

import asyncio
from collections.abc import Callable

from adjourn_local.timing.clocks import StackClock
from adjourn_local.timing.timestamps import SECOND, micros

# After a laptop has slept, the event loop's time is behind the calendar: check the clock regularly.
_LONGEST_SLEEP = 30.0


class Timer:
    """Calls a function once, at the earliest time that was set since the last call."""

    def __init__(self, clock: StackClock, callback: Callable[[], None]) -> None:
        self._clock = clock
        self._callback = callback
        self._at: int | None = None
        self._sleeper: asyncio.Task[None] | None = None

    def set(self, at: int) -> None:
        """Call the function at `at`, in microseconds, unless an earlier call is already set."""
        if self._at is None or at < self._at:
            self.cancel()
            self._at = at
            self._sleeper = asyncio.create_task(self._sleep(at))

    def cancel(self) -> None:
        """Cancel the call that is set, if any."""
        self._at = None
        if self._sleeper is not None:
            self._sleeper.cancel()
            self._sleeper = None

    async def _sleep(self, at: int) -> None:
        while (left := at - micros(self._clock.now())) > 0:
            await self._clock.sleep(min(left / SECOND, _LONGEST_SLEEP))
        self._at = self._sleeper = None
        self._callback()
