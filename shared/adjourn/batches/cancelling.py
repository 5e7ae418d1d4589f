"""Cancel batches, and what is below them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cached_property

from adjourn.batches.children import Child
from adjourn.batches.ends import Ends
from adjourn.batches.place import BATCHES, RUNS, Place, State
from adjourn.batches.records import BatchRecord, batch_key
from adjourn.batches.tree import children_of
from adjourn.iteration.control import Runs

_GUARD = dt.timedelta(seconds=10)


@dataclass(kw_only=True, eq=False, repr=False)
class Canceller:
    """Cancels batches. Errors of all methods: StoreError and EnqueueError; then repeat it."""

    ends: Ends

    def cancel(self, batch: str) -> bool:
        """Cancel a batch for good; return False if it has ended or does not exist.

        Calls that have begun are not stopped, but not retried. The others end when they come, or
        when those that have begun must have ended.
        """
        ends = self.ends
        found = BatchRecord.of(batch, ends.adapters.store.get([batch_key(batch)])[0])
        if found is None or found.ended_at is not None:
            return False
        ends.call_guard(found, f"cancelled {found.round}", _GUARD)
        record = ends.settle(batch, lambda each: each.cancelled(ends.adapters.clock.now()))
        if record is None:
            return False
        ends.finish(record)
        self.cancel_below(record, is_late=False)
        return True

    def cancel_below(self, record: BatchRecord, *, is_late: bool) -> None:
        """Cancel the runs and the nested batches of a cancelled batch.

        Args:
            record: The batch.
            is_late: Whether calls that had begun must have ended. Then all calls are marked that
                have no end: they may not come for long, or never, as when the block broke off
                before they were enqueued.
        """
        for child, place in children_of(self.ends.adapters.store, record):
            if child.state is State.OPEN and not self._is_going_on(child, place, is_late=is_late):
                self.ends.end(place, State.CANCELLED)

    def _is_going_on(self, child: Child, place: Place, *, is_late: bool) -> bool:
        """Cancel a child; return False if nobody else will tell its end."""
        if child.kind in RUNS:
            return self._is_run_cancelled(place.text) or not is_late
        if child.kind in BATCHES:
            return self._is_batch_cancelled(child.key.hex()) or not is_late
        return not is_late

    def _is_run_cancelled(self, run_id: str) -> bool:
        run = self._runs.find_run(run_id)
        if run is None or run.is_void:
            return False
        if not self._runs.change(run_id, lambda found: found.cancelled()):
            self._runs.tell_end(run)
        return True

    def _is_batch_cancelled(self, batch: str) -> bool:
        if self.ends.look_after(batch) is None:
            return False
        self.cancel(batch)
        return True

    @cached_property
    def _runs(self) -> Runs:
        return Runs(adapters=self.ends.adapters)
