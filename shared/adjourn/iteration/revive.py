"""Find runs whose steps are missing from their queue, and enqueue them again.

A chain of steps does not end by itself. But a queue can be purged, its retry limits can delete a
step that failed too often, and a start can die between storing a run and enqueueing its steps.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator
from dataclasses import dataclass

from adjourn.errors import AdjournError
from adjourn.iteration import stored_lists
from adjourn.iteration.control import Runs
from adjourn.iteration.runs import Run, Step
from adjourn.iteration.status import Status
from adjourn.log import event

INTERVAL = dt.timedelta(minutes=5)
NAME = "adjourn.revive"
CRON_NAME = "adjourn"

# A step that became due more recently is not missed yet.
_QUIET = dt.timedelta(minutes=2)
_MOST_REVIVALS = 5


@dataclass(kw_only=True, eq=False, repr=False)
class Reviver:
    """Enqueues missing steps of the runs of a deployment."""

    runs: Runs

    def revive(self) -> int:
        """Enqueue the missing steps of all live runs; return how many runs missed some.

        Lists that no run uses are deleted.

        Raises:
            StoreError: The runs could not be listed.
        """
        revived = sum(self._is_revived(run) for run in self.runs.live())
        stored_lists.sweep(self.runs.adapters)
        return revived

    def _is_revived(self, run: Run) -> bool:
        try:
            is_missing = any(self._is_missing(*each) for each in self._next_steps(run))
            return is_missing and self._is_enqueued(run)
        except AdjournError as error:  # go on with the other runs
            text = f"The steps of {run.iteration} could not be looked up or enqueued: {error}"
            event("iteration.lost", logging.ERROR, text, run=run.id, error=error)
            return False

    def _next_steps(self, run: Run) -> Iterator[tuple[str, dt.datetime, dt.datetime | None]]:
        """Yield for each next step its task's full name, when it was due, and the lease's end."""
        if not run.active:
            yield self._full_name(run, run.own_step), run.updated_at, run.lease_until
        for shard in self.runs.shards(run, run.active):
            step = run.shard_step(shard.number, shard.step)
            due = max(shard.updated_at, run.updated_at, shard.due_at or shard.updated_at)
            yield self._full_name(run, step), due, shard.lease_until

    def _full_name(self, run: Run, step: Step) -> str:
        return self.runs.adapters.queue.full_name(run.queue, step.task_name())

    def _is_missing(self, name: str, due: dt.datetime, lease_until: dt.datetime | None) -> bool:
        now = self.runs.now()
        is_leased = lease_until is not None and lease_until > now
        is_quiet = not is_leased and now - due > _QUIET
        return is_quiet and self.runs.adapters.queue.fetch(name) is None

    def _is_enqueued(self, run: Run) -> bool:
        """Enqueue a run's next steps under a new epoch; False if that is not needed any more.

        A run that was revived several times without progress is stopped instead.
        """
        shards = self.runs.shards(run)
        progress = run.step + sum(shard.step + shard.done for shard in shards)

        def revive(found: Run) -> Run | None:
            if found.epoch != run.epoch or found.status is not run.status:
                return None  # somebody else has changed it, and enqueued its steps
            revivals = found.revivals + 1 if progress == found.progress else 1
            if revivals > _MOST_REVIVALS:
                text = f"It was revived {_MOST_REVIVALS} times and made no progress."
                return found.stopped()._replace(error=text)
            epoch = found.epoch + 1
            return found._replace(epoch=epoch, revivals=revivals, progress=progress)

        changed = self.runs.update(run.id, revive)
        if changed is None:
            return False
        if changed.status is Status.STOPPED:
            event("iteration.stopped", logging.ERROR, changed.error, run=run.id)
            self.runs.tell_end(changed)
            return False
        self.runs.enqueue(changed, self.runs.next_steps(changed))
        text = f"{run.iteration} had no task for a next step; it was enqueued again"
        event("iteration.revived", logging.WARNING, text, run=run.id)
        return True
