"""Find, watch, pause, resume, cancel and retry the runs of a deployment.

Each of these changes raises the epoch of a run, which gives its next steps new names, and enqueues
them. A step of an earlier epoch only makes sure that those of the present one are queued. So a
change that was interrupted can be repeated, and no shard ever has two chains of steps.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from adjourn.errors import EnqueueError, TaskExistsError, UnknownNameError
from adjourn.iteration.runs import KIND, UNINDEXED, Run, Step, run_key
from adjourn.iteration.shards import UNINDEXED as SHARD_UNINDEXED
from adjourn.iteration.shards import Shard, shard_key
from adjourn.iteration.status import COMING_TO_REST, Status
from adjourn.ports import Adapters, NewTask, Target, Transaction

if TYPE_CHECKING:
    from adjourn.iteration.progress import RunState
    from adjourn.iteration.run_handle import RunHandle

_Beating = AbstractContextManager[None]
NextStep = tuple[Step, dt.datetime | None]
"""A step to be enqueued, and its earliest start; None for at once."""

# A step is answered 409 until the lease of one that died has expired. Then it should not wait for
# the longest backoff of the queue, by default an hour.
_BACKOFF = (dt.timedelta(seconds=1), dt.timedelta(seconds=30))
_HEARTBEAT = 1.0  # seconds
# Each may have some 200 KB, and a gRPC client accepts responses of 4 MiB by default.
READ_AT_ONCE = 16


@dataclass(kw_only=True, eq=False, repr=False)
class Runs:
    """The runs of a deployment. They are found without the application's code."""

    adapters: Adapters

    def now(self) -> dt.datetime:
        """Return the present."""
        return self.adapters.clock.now()

    def get(self, run_id: str) -> RunHandle:
        """Return the handle of a run.

        Raises:
            UnknownNameError: There is none of that id.
            StoreError: Datastore could not be reached.
        """
        from adjourn.iteration.run_handle import RunHandle  # noqa: PLC0415 - for those who watch one

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
        """Yield the states of the runs that were started in a period, the latest first.

        Args:
            iteration: Registered name of a class; any if None.
            status: Any if None.
            since: Beginning of the period, inclusive.
            before: End of the period, exclusive.

        Raises:
            StoreError: Datastore could not be reached.
        """
        store = self.adapters.store
        for run_id, record in store.query(KIND, by="started_at", since=since, before=before):
            run = Run.from_record(run_id, record)
            if iteration in {None, run.class_name} and status in {None, run.status}:
                yield self._state_of(run)

    def latest(self, count: int, before: dt.datetime | None = None) -> list[RunState]:
        """Return the states of the runs that were started last, with few requests.

        Args:
            count: How many at most.
            before: Only those that were started before.

        Raises:
            StoreError: Datastore could not be reached.
        """
        from adjourn.iteration.progress import state_of  # noqa: PLC0415 - for those who watch

        found = self.adapters.store.query(KIND, by="started_at", before=before)
        runs = [Run.from_record(name, record) for name, record in islice(found, count)]
        places = [(run.id, number) for run in runs for number in range(run.shards)]
        shards: dict[str, list[Shard]] = {run.id: [] for run in runs}
        for shard in self._read(places):
            shards[shard.run_id].append(shard)
        return [state_of(run, shards[run.id], self.now()) for run in runs]

    def live(self) -> Iterator[Run]:
        """Yield the runs that are under way.

        Raises:
            StoreError: Datastore could not be reached.
        """
        for run_id, record in self.adapters.store.query(KIND, by="live_since"):
            yield Run.from_record(run_id, record)

    def load(self, run_id: str) -> Run:
        """Return the stored state of a run; errors are those of `get`."""
        return _existing(run_id, self.find_run(run_id))

    def find_run(self, run_id: str) -> Run | None:
        """Return the stored state of a run; None if there is none of that id."""
        (record,) = self.adapters.store.get([run_key(run_id)])
        return None if record is None else Run.from_record(run_id, record)

    def state(self, run_id: str) -> RunState | None:
        """Return the state of a run for people; None if there is none of that id."""
        run = self.find_run(run_id)
        return None if run is None else self._state_of(run)

    def _state_of(self, run: Run) -> RunState:
        from adjourn.iteration.progress import state_of  # noqa: PLC0415 - for those who watch

        return state_of(run, self.shards(run), self.now())

    def shards(self, run: Run, numbers: Sequence[int] | None = None) -> list[Shard]:
        """Return the shards of a run that have these numbers; all of them if None."""
        wanted = range(run.shards) if numbers is None else numbers
        return self._read([(run.id, number) for number in wanted])

    def _read(self, places: Sequence[tuple[str, int]]) -> list[Shard]:
        """Return the shards with these run ids and numbers, as far as there are any."""
        found: list[Shard] = []
        for start in range(0, len(places), READ_AT_ONCE):
            part = places[start : start + READ_AT_ONCE]
            records = self.adapters.store.get([shard_key(*place) for place in part])
            pairs = zip(part, records, strict=True)
            found += [Shard.from_record(*place, record) for place, record in pairs if record]
        return found

    def put(self, transaction: Transaction, run: Run, shard: Shard) -> None:
        """Write a run and one of its shards together."""
        run = run._replace(updated_at=self.now())
        transaction.put(run_key(run.id), run.record(), unindexed=UNINDEXED)
        transaction.put(shard.key, shard.record(), unindexed=SHARD_UNINDEXED)

    def beating(self, beat: Callable[[], object], lease: dt.timedelta) -> _Beating:
        """Call `beat` every second, or more often for a short lease, until the context is left."""
        return self.adapters.repeating(min(_HEARTBEAT, lease.total_seconds() / 4), beat)

    def change(self, run_id: str, transition: Callable[[Run], Run | None]) -> bool:
        """Update a run and enqueue its next steps; False if the transition returns None."""
        if (run := self.update(run_id, transition)) is not None:
            self.enqueue(run, self.next_steps(run))
        return run is not None

    def set_pace(self, run_id: str, entities_per_second: float | None) -> bool:
        """Change the pace of a run; False if it has ended for good."""
        run = self.update(run_id, lambda found: found.paced(entities_per_second))
        if run is not None:
            # At once: those that were put off may have been so for a pace that was slower.
            self.enqueue(run, [(step, None) for step, _ in self.next_steps(run)])
        return run is not None

    def update(self, run_id: str, transition: Callable[[Run], Run | None]) -> Run | None:
        """Write what a transition makes of a run, in a transaction, and return it.

        If it is None, nothing is written. No step is enqueued.
        """

        def work(transaction: Transaction) -> Run | None:
            (record,) = transaction.get([run_key(run_id)])
            found = Run.from_record(run_id, record) if record else None
            run = transition(_existing(run_id, found))
            if run is not None:
                run = run._replace(updated_at=self.now())
                transaction.put(run_key(run_id), run.record(), unindexed=UNINDEXED)
            return run

        return self.adapters.store.transact(work)

    def resume(self, run_id: str, statuses: set[Status]) -> bool:
        """Continue a run that has one of these statuses; False if it has another one.

        The next steps of a run that is running already are enqueued if they are missing.
        """
        run = self.load(run_id)
        if run.is_live and run.status is not Status.CANCELLING and run.status not in statuses:
            self.enqueue(run, self.next_steps(run))
            return False
        if run.status is Status.STOPPED and run.status in statuses and run.is_child:
            from adjourn.batches.run_ends import reopen_run  # noqa: PLC0415 - as above

            reopen_run(self.adapters, run.id)
        shards, now = self.shards(run), self.now()
        done, errors = sum(each.done for each in shards), sum(each.errors for each in shards)
        return self.change(
            run_id, lambda r: r.resumed(now, done, errors) if r.status in statuses else None
        )

    def next_steps(self, run: Run) -> list[NextStep]:
        """Return the steps that must be queued for a run to continue, as its shards are now."""
        if not run.is_live:
            return []
        if not run.active:
            return [(run.own_step, None)]
        return [_step_of(run, shard) for shard in self.shards(run, run.active)]

    def tell_end(self, run: Run) -> None:
        """Tell a batch that a run which is its child has ended, as often as that is done.

        Raises:
            StoreError: Datastore could not be reached; repeat it.
            EnqueueError: What follows could not be enqueued; repeat it.
        """
        if run.is_live or run.is_void or run.status is Status.PAUSED or not run.is_child:
            return
        from adjourn.batches.run_ends import tell_end  # noqa: PLC0415 - for children of batches

        tell_end(self.adapters, run.id, run.status.value)

    def begin(self, run: Run) -> None:
        """Enqueue the first steps of a run; errors are those of `enqueue`."""
        self.enqueue(run, first_steps(run))

    def enqueue(self, run: Run, steps: Sequence[NextStep]) -> None:
        """Enqueue steps that are not queued yet.

        Raises:
            EnqueueError: Cloud Tasks did not accept one of them.
        """
        tasks = [_task(run, step, eta) for step, eta in steps]
        if len(tasks) == 1:
            with suppress(TaskExistsError):
                self.adapters.queue.enqueue(tasks[0])
            return
        for result in self.adapters.queue.enqueue_many(tasks) if tasks else []:
            if isinstance(result, EnqueueError) and not isinstance(result, TaskExistsError):
                raise result


def first_steps(run: Run) -> list[NextStep]:
    """Return the steps that must be queued for a run to continue, without reading its shards.

    The first step of a shard stands for its next one: a step that is older than its shard makes
    sure that the next one is queued.
    """
    if not run.is_live:
        return []
    return [(run.shard_step(number), None) for number in run.active] or [(run.own_step, None)]


def steps_after(run: Run, shard: Shard) -> list[NextStep]:
    """Return the steps that must be queued after a change of one shard."""
    if not run.is_live:
        return []
    if shard.number in run.active:
        return [_step_of(run, shard)]
    if not run.active:
        return [(run.own_step, None)]
    if shard.successor in run.active:
        return [(run.shard_step(shard.successor), None)]
    return []


def _step_of(run: Run, shard: Shard) -> NextStep:
    step = run.shard_step(shard.number, shard.step)
    # It need not wait if it only ends the shard's chain.
    return step, None if run.status in COMING_TO_REST else shard.due_at


def _task(run: Run, step: Step, eta: dt.datetime | None) -> NewTask:
    return NewTask(
        target=Target.QUERYITER,
        label=run.class_name,
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
