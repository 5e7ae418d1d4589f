"""Receive a call of Cloud Scheduler: enqueue what is due, each slot once.

A slot is claimed in a transaction. Then its task is enqueued under a name that is derived from the
slot, and the slot is marked as enqueued. If the process dies in between, the next call completes
the claim. However often a call is repeated, there is no second task.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from adjourn.clock import Clock
from adjourn.concurrency import in_parallel
from adjourn.cron.due import Decision, PeriodicState, key_of
from adjourn.cron.last_run import LastRun, last_run, may_be_due
from adjourn.cron.periodic import Periodic, Timing
from adjourn.cron.states import first_state, noted, record_of, state_of
from adjourn.errors import TaskExistsError, UnknownNameError
from adjourn.execution.delivery import Delivery, Outcome
from adjourn.log import event
from adjourn.names import RUN, digest
from adjourn.ports import EntityStore, TaskQueue, TaskState, Transaction
from adjourn.tasks.enqueue import Enqueuer
from adjourn.tasks.methods import BoundTask

if TYPE_CHECKING:
    from adjourn.tasks.handle import TaskHandle


class ClaimedSlot(NamedTuple):
    """A slot that this call of the Scheduler has claimed."""

    periodic: Periodic
    slot: dt.datetime


class PeriodicStatus(NamedTuple):
    """The stored state of a periodic function, and its last task if that has not ended."""

    periodic: Periodic
    state: PeriodicState | None
    task: TaskState | None


@dataclass(kw_only=True, eq=False, repr=False)
class PeriodicRunner:
    """Enqueues the runs of periodic functions when Cloud Scheduler calls.

    Attributes:
        names: Returns the declared cron names.
        periodics: Returns the periodic functions; methods on all objects registered by then.
    """

    names: Callable[[], Iterable[str]]
    periodics: Callable[[], Iterable[Periodic]]
    store: EntityStore
    enqueuer: Enqueuer
    clock: Clock

    @property
    def _queue(self) -> TaskQueue:
        return self.enqueuer.adapters.queue

    def receive(self, delivery: Delivery) -> Outcome:
        """Receive a call of Cloud Scheduler, whose path is the cron name.

        Raises:
            StoreError: Datastore failed; the Scheduler is to call again.
            EnqueueError: Not everything due was enqueued; the Scheduler is to call again.
        """
        try:
            self.tick(delivery.path.strip("/"), delivery.scheduled)
        except UnknownNameError as error:
            event("cron.unknown", logging.ERROR, str(error))
            return Outcome.UNKNOWN
        return Outcome.DONE

    def tick(self, cron_name: str, scheduled: dt.datetime | None) -> int:
        """Enqueue what is due under a cron name; return the number of tasks.

        Args:
            cron_name: The cron name.
            scheduled: The time that the Scheduler gives for this call. It is the same when a call
                is repeated, and may lie in the future when somebody ran the job by hand
                (https://cloud.google.com/scheduler/docs/configuring/deduplicate-job-requests).

        Raises:
            UnknownNameError: No periodic function has this cron name.
            StoreError: The state could not be read or written.
            EnqueueError: Not everything due was enqueued; a repeated call enqueues the rest.
        """
        now = self.clock.now()
        tick = min(scheduled or now, now)
        periodics = self._named(cron_name)
        last_runs = self._last_runs(periodics, tick, now)
        failed = [(p, last) for p, last in last_runs.items() if isinstance(last, Exception)]
        known = {p: last for p, last in last_runs.items() if not isinstance(last, Exception)}
        claimed = self._claim(known, tick, now)
        results = list(zip(claimed, self._enqueue_all(claimed), strict=True))
        done = [(claim, each) for claim, each in results if not isinstance(each, Exception)]
        self._mark(done, now)
        failed += [(c.periodic, each) for c, each in results if isinstance(each, Exception)]
        for periodic, error in failed:
            event("cron.failed", logging.ERROR, f"{periodic.name}: {error}", error=error)
        event(
            "cron.tick",
            logging.ERROR if failed else logging.INFO,
            f"{cron_name}: {len(claimed)} of {len(periodics)} due, {len(failed)} not enqueued",
            cron_name=cron_name,
            due=len(claimed),
        )
        if failed:
            raise failed[0][1]
        return len(claimed)

    def run(self, periodic: Periodic) -> TaskHandle:
        """Enqueue a run outside of the slots; the next slot waits for its end, as for any run.

        Raises:
            TaskExistsError: The last run has not ended, and runs must not overlap.
            StoreError: The state could not be read or written.
            EnqueueError: It was not enqueued.
        """
        status = self.status(periodic)
        if status.task and status.state and periodic.timing.skips_overlap:
            raise TaskExistsError(f"{periodic.name} has not ended its run {status.state.task}.")
        now, key, name = (
            self.clock.now(),
            key_of(periodic),
            f"{self.enqueuer.adapters.new_id()}{RUN}",
        )

        def work(transaction: Transaction) -> None:
            state = state_of(transaction.get([key])[0]) or first_state(periodic, now)
            task = self._full_name(periodic, name)
            transaction.put(key, record_of(state._replace(task=task, call=name)))

        self.store.transact(work)
        return self._put(periodic, name, None)

    def status(self, periodic: Periodic) -> PeriodicStatus:
        """Return the state of a periodic function and its last task.

        Raises:
            StoreError: The state could not be read.
            UnavailableError: Cloud Tasks could not be reached.
        """
        state = state_of(self.store.get([key_of(periodic)])[0])
        task = self._queue.fetch(state.task) if state and state.task else None
        return PeriodicStatus(periodic, state, task)

    def task_of(self, periodic: Periodic, call: str) -> TaskState | None:
        """Return the first task of a run, None if it is not there any more.

        Raises:
            UnavailableError: Cloud Tasks could not be reached.
        """
        return self._queue.fetch(self._full_name(periodic, call))

    def _named(self, cron_name: str) -> Sequence[Periodic]:
        names = sorted(set(self.names()))
        if cron_name not in names:
            text = f"No periodic function has the cron name {cron_name!r}"
            text = text if cron_name else "The URL of the call ends without a cron name"
            raise UnknownNameError(f"{text}; there are: {', '.join(names) or 'none'}")
        return [p for p in self.periodics() if p.timing.cron_name == cron_name]

    def _last_runs(
        self, periodics: Sequence[Periodic], tick: dt.datetime, now: dt.datetime
    ) -> Mapping[Periodic, LastRun | Exception]:
        """Return the last run of each function that may be due, or why it is unknown."""
        records = self.store.get([key_of(periodic) for periodic in periodics])
        candidates = {
            periodic: state
            for periodic, state in zip(periodics, map(state_of, records), strict=True)
            if may_be_due(periodic.timing, state, tick, now)
        }

        def found(candidate: tuple[Periodic, PeriodicState | None]) -> LastRun | Exception:
            periodic, state = candidate
            return last_run(self._queue, periodic.timing, state)

        return dict(zip(candidates, in_parallel(found, list(candidates.items())), strict=True))

    def _claim(
        self, last_runs: Mapping[Periodic, LastRun], tick: dt.datetime, now: dt.datetime
    ) -> list[ClaimedSlot]:
        keys = [key_of(periodic) for periodic in last_runs]

        def work(transaction: Transaction) -> list[tuple[Periodic, Decision]]:
            decided = []
            records = transaction.get(keys)
            for (periodic, last), record in zip(last_runs.items(), records, strict=True):
                decision = last.decide(periodic.timing, state_of(record), tick, now)
                decided.append((periodic, decision))
                tell_skipped(periodic.name, decision)
                if state := noted(decision):
                    stored = self._with_task(periodic, state)
                    transaction.put(key_of(periodic), record_of(stored))
            return decided

        decided = self.store.transact(work) if last_runs else []
        return [ClaimedSlot(periodic, each.slot) for periodic, each in decided if each.slot]

    def _with_task(self, periodic: Periodic, state: PeriodicState) -> PeriodicState:
        """Return the state with the name of the task of its slot, if the slot needs a task.

        The name is stored before there is a task, so that a run that postpones itself at once is
        followed.
        """
        name = run_name(periodic, state.slot)
        if state.is_enqueued or state.call == name:
            return state
        return state._replace(task=self._full_name(periodic, name), call=name)

    def _full_name(self, periodic: Periodic, name: str) -> str:
        return self.enqueuer.full_name(periodic.task, name)

    def _enqueue_all(self, claims: Sequence[ClaimedSlot]) -> list[TaskHandle | Exception]:
        return in_parallel(self._enqueue, claims)

    def _enqueue(self, claim: ClaimedSlot) -> TaskHandle | Exception:
        try:
            return self._put(claim.periodic, run_name(claim.periodic, claim.slot), claim.slot)
        except Exception as error:  # noqa: BLE001 - the others are enqueued all the same
            return error

    def _put(self, periodic: Periodic, name: str, slot: dt.datetime | None) -> TaskHandle:
        """Enqueue a call whose id is the name of its task, so that `once` applies to the slot."""
        task = periodic.task.options(call_name=name, eta=slot, delay=None)
        args = (task.receiver_argument(),) if isinstance(task, BoundTask) else ()
        return self.enqueuer.enqueue(task, args, {}, call=name)

    def _mark(self, enqueued: Sequence[tuple[ClaimedSlot, TaskHandle]], now: dt.datetime) -> None:
        keys = [key_of(claim.periodic) for claim, _ in enqueued]

        def work(transaction: Transaction) -> None:
            for (claim, handle), key, record in zip(
                enqueued, keys, transaction.get(keys), strict=True
            ):
                state = state_of(record)
                # A slow call must not overwrite the slot that a later call has claimed meanwhile.
                if state and state.slot == claim.slot:
                    start = interval_start(claim.periodic.timing, claim.slot, handle, now)
                    first = self._full_name(claim.periodic, state.call)
                    transaction.put(key, record_of(marked(state, start, handle, first)))

        if enqueued:
            self.store.transact(work)


def tell_skipped(name: str, decision: Decision) -> None:
    """Log what is skipped, before that is stored: a process may die in between."""
    for slot, reason in decision.skipped:
        text = f"{name}, due {slot:%Y-%m-%d %H:%M:%S} UTC, is skipped: {reason}"
        event("cron.skipped", logging.WARNING, text)


def marked(
    state: PeriodicState, start: dt.datetime, handle: TaskHandle, first: str
) -> PeriodicState:
    """Return a state whose slot has its task.

    Args:
        state: The state.
        start: The slot, or what `interval_start` has made of it.
        handle: The handle of the task.
        first: Full name of the task as it was claimed.
    """
    # The fallback region may have the task; or the run has postponed itself by now.
    task = handle.name if state.task == first else state.task
    return state._replace(slot=start, is_enqueued=True, task=task)


def interval_start(
    timing: Timing, slot: dt.datetime, handle: TaskHandle, now: dt.datetime
) -> dt.datetime:
    """Return the start of the next interval: now, if an earlier call has claimed the slot."""
    is_interval = isinstance(timing.when, dt.timedelta) and bool(timing.when)
    return max(slot, now) if is_interval and handle.is_new else slot


def run_name(periodic: Periodic, slot: dt.datetime) -> str:
    """Return the id of the call for a slot, which is the name of its task as well."""
    # A digest, because names with a common or rising prefix slow Cloud Tasks down. In UTC, because
    # the Scheduler gives times in the zone of the job, and the store returns them in UTC.
    text = f"{periodic.name} {slot.astimezone(dt.UTC).isoformat()}"
    return f"{digest(text)}{RUN}"
