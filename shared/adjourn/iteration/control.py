"""The runs of a deployment: found, watched, paused, resumed, cancelled and retried.

Whoever changes how a run goes on raises its epoch, which gives the steps to come new names, and
enqueues them. Steps of an earlier epoch only see that those of the present one are there. So it can
be repeated whenever it was interrupted, and no chain of steps is there twice.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adjourn.clock import Clock
from adjourn.errors import EnqueueError, TaskExistsError, UnknownNameError
from adjourn.iteration.runs import KIND, LEAVING, UNINDEXED, Run, Status, Step, key_of
from adjourn.iteration.shards import Shard, shard_key
from adjourn.iteration.verdicts import Due
from adjourn.ports import EntityStore, NewTask, Target, TaskQueue, Transaction

if TYPE_CHECKING:
    from adjourn.iteration.progress import RunState

# A step that meets the lease of one that died is answered 409 until that is over, and should not
# then wait for as long as a queue lets a failing task wait, which is an hour by default.
_BACKOFF = (dt.timedelta(seconds=1), dt.timedelta(seconds=30))
# Each may have some 200 KB, and a gRPC client takes answers of 4 MiB unless told otherwise.
_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunHandle:
    """A run.

    Attributes:
        id: By which it is found again.
        is_new: False if a start found a run of its name that is there already.
    """

    id: str
    is_new: bool
    _runs: Runs

    def fetch(self) -> RunState | None:
        """Return how the run stands, None if its entity is gone.

        Raises:
            StoreError: Datastore could not be reached.
        """
        return self._runs.state(self.id)

    def pause(self) -> bool:
        """Let the run rest when the steps under way have ended; False if there is nothing to pause.

        Repeat it, as `resume`, `cancel` and `retry`, if it raised.

        Raises:
            UnknownNameError: The run is gone.
            EnqueueError: Cloud Tasks did not accept a step.
            StoreError: Datastore could not be reached.
        """
        return self._runs.change(self.id, lambda run: run.paused())

    def resume(self) -> bool:
        """Let a paused run go on; False if it is not paused. Errors are those of `pause`."""
        return self._runs.resume(self.id, {Status.PAUSED, Status.PAUSING})

    def retry(self) -> bool:
        """Let a stopped run go on where it stopped; False if it is not. Errors as for `pause`."""
        return self._runs.resume(self.id, {Status.STOPPED})

    def cancel(self) -> bool:
        """End the run for good when the steps under way have ended; False if it has ended.

        A run of which only `handle_finish` is to come cannot be cancelled any more. Errors are
        those of `pause`.
        """
        return self._runs.change(self.id, lambda run: run.cancelled())


@dataclass(kw_only=True, eq=False, repr=False)
class Runs:
    """The runs of a deployment; the application itself is not needed."""

    store: EntityStore
    queue: TaskQueue
    clock: Clock

    def get(self, run_id: str) -> RunHandle:
        """Return the handle of a run.

        Raises:
            UnknownNameError: There is none of that id.
            StoreError: Datastore could not be reached.
        """
        self.load(run_id)
        return RunHandle(id=run_id, is_new=False, _runs=self)

    def find(
        self,
        *,
        iteration: str | None = None,
        status: Status | None = None,
        since: dt.datetime | None = None,
        before: dt.datetime | None = None,
    ) -> Iterator[RunState]:
        """Yield how the runs stand that were started in this time, the latest first.

        Raises:
            StoreError: Datastore could not be reached.
        """
        for run_id, record in self.store.query(KIND, by="started_at", since=since, before=before):
            run = Run.from_record(run_id, record)
            if iteration in {None, run.iteration} and status in {None, run.status}:
                yield self._state_of(run)

    def live(self) -> Iterator[Run]:
        """Yield the runs that are under way.

        Raises:
            StoreError: Datastore could not be reached.
        """
        found = self.store.query(KIND, by="live_since")
        return (Run.from_record(run_id, record) for run_id, record in found)

    def load(self, run_id: str) -> Run:
        """Return a run; errors are those of `get`."""
        return _existing(run_id, self.find_run(run_id))

    def find_run(self, run_id: str) -> Run | None:
        """Return a run, None if there is none of that id."""
        record = self.store.get([key_of(run_id)])[0]
        return None if record is None else Run.from_record(run_id, record)

    def state(self, run_id: str) -> RunState | None:
        """Return how a run stands, None if there is none of that id."""
        run = self.find_run(run_id)
        return None if run is None else self._state_of(run)

    def _state_of(self, run: Run) -> RunState:
        from adjourn.iteration.progress import state_of  # noqa: PLC0415 - for those who watch

        return state_of(run, self.shards(run))

    def shards(self, run: Run, pieces: Sequence[int] | None = None) -> list[Shard]:
        """Return some shards of a run, all if none are named."""
        wanted = range(run.pieces) if pieces is None else pieces
        found: list[Shard] = []
        for start in range(0, len(wanted), _AT_ONCE):
            numbers = wanted[start : start + _AT_ONCE]
            records = self.store.get([shard_key(run.id, number) for number in numbers])
            pairs = zip(numbers, records, strict=True)
            found += [Shard.from_record(run.id, n, record) for n, record in pairs if record]
        return found

    def change(self, run_id: str, transition: Callable[[Run], Run | None]) -> bool:
        """Change how a run goes on and enqueue what is then to come; False if it cannot be."""
        run = self.change_quietly(run_id, transition)
        if run is not None:
            self.enqueue(run, self.due(run))
        return run is not None

    def change_quietly(self, run_id: str, transition: Callable[[Run], Run | None]) -> Run | None:
        """Change a run in a transaction, None if the transition is; enqueue nothing."""

        def work(transaction: Transaction) -> Run | None:
            record = transaction.get([key_of(run_id)])[0]
            found = Run.from_record(run_id, record) if record else None
            run = transition(_existing(run_id, found))
            if run is not None:
                run = run._replace(updated_at=self.clock.now())
                transaction.put(key_of(run_id), run.record(), unindexed=UNINDEXED)
            return run

        return self.store.transact(work)

    def resume(self, run_id: str, statuses: set[Status]) -> bool:
        """Let a run go on that has one of these statuses; it is enqueued if it does already."""
        run = self.load(run_id)
        if run.is_live and run.status is not Status.CANCELLING and run.status not in statuses:
            self.enqueue(run, self.due(run))
            return False
        done = sum(shard.done for shard in self.shards(run))
        now = self.clock.now()
        return self.change(run_id, lambda r: r.resumed(now, done) if r.status in statuses else None)

    def due(self, run: Run) -> list[Due]:
        """Return the steps that have to be enqueued for a run to go on, with their starts."""
        if not run.is_live:
            return []
        if not run.active:
            return [(run.own_step, None)]
        shards = self.shards(run, run.active)
        is_leaving = run.status in LEAVING
        return [
            (run.step_of(shard.piece, shard.step), None if is_leaving else shard.due_at)
            for shard in shards
        ]

    def enqueue(self, run: Run, due: Sequence[Due]) -> None:
        """Put steps on their queue, unless they are there.

        Raises:
            EnqueueError: Cloud Tasks did not accept one of them.
        """
        tasks = [_task(run, step, eta) for step, eta in due]
        if len(tasks) == 1:
            with suppress(TaskExistsError):
                self.queue.enqueue(tasks[0])
            return
        for told in self.queue.enqueue_many(tasks) if tasks else []:
            if isinstance(told, EnqueueError) and not isinstance(told, TaskExistsError):
                raise told


def _task(run: Run, step: Step, eta: dt.datetime | None) -> NewTask:
    return NewTask(
        target=Target.QUERYITER,
        label=run.iteration,
        queue=run.queue,
        body=step.encode(),
        name=step.task_name(),
        eta=eta,
        min_backoff=_BACKOFF[0],
        max_backoff=_BACKOFF[1],
    )


def _existing(run_id: str, run: Run | None) -> Run:
    if run is None:
        raise UnknownNameError(f"There is no run {run_id!r}.")
    return run
