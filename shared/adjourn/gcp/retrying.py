"""Call a service again while it is out of reach, for a limited time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from adjourn.clock import Clock, SystemClock
from adjourn.errors import UnavailableError

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0


@dataclass(kw_only=True, eq=False, repr=False)
class Persistence:
    """Repeats a call, with pauses that grow and vary so that many callers do not come at once."""

    clock: Clock = field(default_factory=SystemClock)
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random

    def __call__(self, call: Callable[[float], None], patience: float) -> None:
        """Make a call until it does not raise UnavailableError.

        Args:
            call: Takes the seconds that it may take: half of the patience, so that a request that
                hangs leaves time for another.
            patience: Seconds after which the last UnavailableError is raised.

        Raises:
            UnavailableError: The service stayed out of reach.
        """
        until = self.clock.monotonic() + patience
        pause = _FIRST_PAUSE
        while True:
            try:
                return call(min(patience / 2, until - self.clock.monotonic()))
            except UnavailableError:
                wait = pause * (0.5 + self.chance() / 2)
                if self.clock.monotonic() + wait >= until:
                    raise
            self.sleep(wait)
            pause = min(2 * pause, _LONGEST_PAUSE)
