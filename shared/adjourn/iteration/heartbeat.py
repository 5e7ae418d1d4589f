"""The heartbeat of a step: it renews the lease and watches whether the step should end."""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from adjourn.errors import AdjournError
from adjourn.iteration.control import Runs
from adjourn.iteration.runs import Run
from adjourn.iteration.status import Status
from adjourn.log import event

# Cloud Run ends requests after an hour at the latest. A hook that hangs must lose its lease.
_LONGEST = dt.timedelta(hours=1)


@dataclass(kw_only=True, eq=False, repr=False)
class Heartbeat:
    """Keeps the lease of a step while its hooks are called.

    Without it, a hook that takes longer than the lease would be called a second time meanwhile.

    Attributes:
        run_id: Id of the run.
        status: Of the run. The step should end once the run has another one.
        lease: How long the lease is exclusive, from when it was last renewed.
        until: Until when it is exclusive.
        began: When the step began.
        renew: Writes a new end of the lease. It returns False if another delivery has taken over.
        follow: Is called with the run as it is now.
        ending: Set once the step should end between two entities.
    """

    runs: Runs
    run_id: str
    status: Status
    lease: dt.timedelta
    until: dt.datetime
    began: dt.datetime
    renew: Callable[[dt.datetime], bool]
    follow: Callable[[Run], object] = lambda _run: None
    ending: threading.Event = field(default_factory=threading.Event)

    def wait(self, seconds: float) -> None:
        """Wait for some seconds, or until the step should end."""
        self.runs.adapters.wait(self.ending, seconds)

    def beat(self) -> None:
        """Renew the lease if half of it has passed, and see whether the step should end."""
        now = self.runs.now()
        try:
            if self.until - now < self.lease / 2 and now < self.began + _LONGEST:
                self.until = now + self.lease
                if not self.renew(self.until):
                    self.ending.set()
            run = self.runs.find_run(self.run_id)
            if run is None or run.status is not self.status or self.runs.adapters.is_stopping():
                self.ending.set()
            else:
                self.follow(run)
        except AdjournError as error:  # the next beat tries it again
            event("iteration.heartbeat", logging.WARNING, f"A heartbeat failed: {error}")
