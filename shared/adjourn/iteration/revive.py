"""Find runs whose steps are gone from their queue, and enqueue them again.

That a chain ends is not to be expected, but a queue can be purged, its retry limits can delete a
step that failed too often, and a start can die between writing a run and enqueueing it.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator
from dataclasses import dataclass

from adjourn.errors import AdjournError
from adjourn.iteration.control import Runs
from adjourn.iteration.runs import Run, Status, Step
from adjourn.log import event

INTERVAL = dt.timedelta(minutes=5)
NAME = "adjourn.revive"
CRON_NAME = "adjourn"

# What is on its way is not looked after.
_QUIET = dt.timedelta(minutes=2)
_MOST_REVIVALS = 5


@dataclass(kw_only=True, eq=False, repr=False)
class Reviver:
    """Looks after the runs of a deployment."""

    runs: Runs

    def revive(self) -> int:
        """Enqueue again what is missing of all runs under way; return how many runs those were.

        Raises:
            StoreError: The runs could not be listed.
        """
        return sum(self._is_revived(run) for run in self.runs.live())

    def _is_revived(self, run: Run) -> bool:
        try:
            return any(self._is_dead(*each) for each in self._steps(run)) and self._enqueued(run)
        except AdjournError as error:  # the others may be better off
            text = f"{run.iteration} could not be looked after: {error}"
            event("iteration.lost", logging.ERROR, text, run=run.id, error=error)
            return False

    def _steps(self, run: Run) -> Iterator[tuple[str, dt.datetime, dt.datetime | None]]:
        """Yield for each step to come its task's name, its due time and until when it is leased."""
        if not run.active:
            yield self._name(run, run.own_step), run.updated_at, run.lease_until
        for shard in self.runs.shards(run, run.active):
            step = run.step_of(shard.piece, shard.step)
            due = max(shard.updated_at, run.updated_at, shard.due_at or shard.updated_at)
            yield self._name(run, step), due, shard.lease_until

    def _name(self, run: Run, step: Step) -> str:
        return self.runs.queue.full_name(run.queue, step.task_name())

    def _is_dead(self, name: str, due: dt.datetime, lease_until: dt.datetime | None) -> bool:
        now = self.runs.clock.now()
        is_leased = lease_until is not None and lease_until > now
        return not is_leased and now - due > _QUIET and self.runs.queue.fetch(name) is None

    def _enqueued(self, run: Run) -> bool:
        """Enqueue a run's steps under a new epoch, or stop it if that has never helped."""
        shards = self.runs.shards(run)
        progress = run.step + sum(shard.step + shard.done for shard in shards)

        def again(found: Run) -> Run | None:
            if found.epoch != run.epoch or found.status is not run.status:
                return None  # somebody else has seen to it
            revivals = found.revivals + 1 if progress == found.progress else 1
            if revivals > _MOST_REVIVALS:
                text = f"It was revived {_MOST_REVIVALS} times and did not get on."
                return found.halted()._replace(error=text)
            epoch = found.epoch + 1
            return found._replace(epoch=epoch, revivals=revivals, progress=progress)

        changed = self.runs.change_quietly(run.id, again)
        if changed is None:
            return False
        if changed.status is Status.STOPPED:
            event("iteration.stopped", logging.ERROR, changed.error, run=run.id)
            return False
        self.runs.enqueue(changed, self.runs.due(changed))
        text = f"{run.iteration} had no task for a step to come"
        event("iteration.revived", logging.WARNING, text, run=run.id)
        return True
