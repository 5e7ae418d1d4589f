"""What happens when Cloud Scheduler calls: what is due is enqueued, each slot once.

A slot is claimed in a transaction before its task is enqueued under a name made from it, and marked
when that is done: a crash in between leaves a claim that the next call completes, and no call,
however often repeated, makes a second task.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from adjourn.clock import Clock
from adjourn.cron.due import RUN, Decision, State, decide, key_of, record_of, state_of
from adjourn.cron.periodic import Periodic
from adjourn.errors import EnqueueError, TaskExistsError, UnknownNameError
from adjourn.log import event
from adjourn.names import digest
from adjourn.ports import EntityStore, TaskQueue, TaskState, Transaction
from adjourn.tasks.enqueue import Enqueuer
from adjourn.tasks.handle import TaskHandle
from adjourn.tasks.methods import BoundTask

T = TypeVar("T")
R = TypeVar("R")

_PARALLEL = 8


class Claim(NamedTuple):
    """A slot that this call has claimed."""

    periodic: Periodic
    slot: dt.datetime


class Running(NamedTuple):
    """Whether the task for whose end a function waits has not ended; "" if it waits for none."""

    task: str
    is_running: bool


class Standing(NamedTuple):
    """How a periodic function stands: what is stored, and its last task if that has not ended."""

    periodic: Periodic
    state: State | None
    task: TaskState | None


@dataclass(kw_only=True, eq=False, repr=False)
class Cron:
    """Answers the calls of Cloud Scheduler.

    Attributes:
        names: Returns the cron names that were declared.
        periodics: Returns what runs under them; for methods, on the objects registered by then.
    """

    names: Callable[[], Iterable[str]]
    periodics: Callable[[], Iterable[Periodic]]
    store: EntityStore
    enqueuer: Enqueuer
    clock: Clock

    @property
    def _queue(self) -> TaskQueue:
        return self.enqueuer.adapters.queue

    def tick(self, cron_name: str, scheduled: dt.datetime | None) -> int:
        """Enqueue what is due under a cron name and return how many tasks that were.

        Args:
            cron_name: Which periodic functions are asked for.
            scheduled: The time that the Scheduler gives for this call. It is the same when a call
                is repeated, but may lie ahead when somebody ran the job by hand
                (https://cloud.google.com/scheduler/docs/configuring/deduplicate-job-requests).

        Raises:
            UnknownNameError: No periodic function has this cron name.
            StoreError: The state could not be read or written.
            EnqueueError: Not everything due was enqueued; a repeated call enqueues the rest.
        """
        now = self.clock.now()
        tick = min(scheduled or now, now)
        periodics = self._named(cron_name)
        looked = self._look(periodics, tick, now)
        failed = [(p, told) for p, told in looked.items() if isinstance(told, Exception)]
        running = {p: told for p, told in looked.items() if not isinstance(told, Exception)}
        claimed = self._claim(running, tick, now)
        results = list(zip(claimed, self._enqueue_all(claimed), strict=True))
        self._mark([(claim, told) for claim, told in results if isinstance(told, TaskHandle)], now)
        failed += [(c.periodic, told) for c, told in results if isinstance(told, Exception)]
        for periodic, error in failed:
            event("cron.failed", logging.ERROR, f"{periodic.name}: {error}", error=error)
        event(
            "cron.tick",
            logging.ERROR if failed else logging.INFO,
            f"{cron_name}: {len(claimed)} of {len(periodics)} due, {len(failed)} not enqueued",
            cron_name=cron_name,
        )
        if failed:
            raise failed[0][1]
        return len(claimed)

    def run(self, periodic: Periodic) -> TaskHandle:
        """Enqueue a run besides its slots, for which the next one waits as for any other.

        Raises:
            TaskExistsError: The last run has not ended, and it does not overlap.
            StoreError: The state could not be read or written.
            EnqueueError: It was not enqueued.
        """
        standing = self.stand(periodic)
        if standing.task and standing.state and periodic.timing.skips_overlap:
            raise TaskExistsError(f"{periodic.name} has not ended its run {standing.state.task}.")
        now, key, name = (
            self.clock.now(),
            key_of(periodic),
            f"{self.enqueuer.adapters.new_id()}{RUN}",
        )

        def work(transaction: Transaction) -> None:
            first = State(slot=now, is_enqueued=True, told=periodic.timing.told)
            state = state_of(transaction.get([key])[0]) or first
            task = self._full_name(periodic, name)
            transaction.put(key, record_of(state._replace(task=task, call=name)))

        self.store.transact(work)
        return self._put(periodic, name, None)

    def stand(self, periodic: Periodic) -> Standing:
        """Return how a function stands.

        Raises:
            StoreError: The state could not be read.
            UnavailableError: Cloud Tasks could not be reached.
        """
        state = state_of(self.store.get([key_of(periodic)])[0])
        task = self._queue.fetch(state.task) if state and state.task else None
        return Standing(periodic, state, task)

    def _named(self, cron_name: str) -> Sequence[Periodic]:
        names = sorted(set(self.names()))
        if cron_name not in names:
            wrong = f"No periodic function has the cron name {cron_name!r}"
            wrong = wrong if cron_name else "The URL of the call ends without a cron name"
            raise UnknownNameError(f"{wrong}; there are: {', '.join(names) or 'none'}")
        return [p for p in self.periodics() if p.timing.cron_name == cron_name]

    def _look(
        self, periodics: Sequence[Periodic], tick: dt.datetime, now: dt.datetime
    ) -> Mapping[Periodic, Running | Exception]:
        """Return what may be due, with what became of the last task, or why that is unknown."""
        records = self.store.get([key_of(periodic) for periodic in periodics])
        candidates: dict[Periodic, str] = {}
        for periodic, state in zip(periodics, map(state_of, records), strict=True):
            if decide(periodic.timing, state, tick, now, is_running=False) != Decision():
                candidates[periodic] = _awaited(periodic, state)

        def ask(task: str) -> Running | Exception:
            try:
                return Running(task, bool(task) and self._queue.fetch(task) is not None)
            except EnqueueError as error:
                return error

        return dict(zip(candidates, _together(ask, list(candidates.values())), strict=True))

    def _claim(
        self, looked: Mapping[Periodic, Running], tick: dt.datetime, now: dt.datetime
    ) -> list[Claim]:
        keys = [key_of(periodic) for periodic in looked]

        def work(transaction: Transaction) -> list[tuple[Periodic, Decision]]:
            decided = []
            for (periodic, seen), record in zip(looked.items(), transaction.get(keys), strict=True):
                state = state_of(record)
                # A task that has come since then was enqueued a moment ago.
                is_running = seen.is_running or _awaited(periodic, state) != seen.task
                decision = decide(periodic.timing, state, tick, now, is_running=is_running)
                decided.append((periodic, decision))
                if decision.state:
                    stored = self._begun(periodic, decision.state)
                    transaction.put(key_of(periodic), record_of(stored))
            return decided

        decided = self.store.transact(work) if looked else []
        for periodic, decision in decided:
            for slot, reason in decision.skipped:
                text = f"{periodic.name}, due {slot:%Y-%m-%d %H:%M:%S} UTC, is left out: {reason}"
                event("cron.skipped", logging.WARNING, text)
        return [Claim(periodic, each.slot) for periodic, each in decided if each.slot]

    def _begun(self, periodic: Periodic, state: State) -> State:
        """Return the state with the task of its slot, unless that is known or not wanted.

        It is stored before there is one: a run that puts itself off at once is to be followed.
        """
        name = _task_name(periodic, state.slot)
        if state.is_enqueued or state.call == name:
            return state
        return state._replace(task=self._full_name(periodic, name), call=name)

    def _full_name(self, periodic: Periodic, name: str) -> str:
        queue = periodic.task.defaults.queue or self.enqueuer.settings.queue
        return self._queue.full_name(queue, name)

    def _enqueue_all(self, claims: Sequence[Claim]) -> list[TaskHandle | Exception]:
        return _together(self._enqueue, claims)

    def _enqueue(self, claim: Claim) -> TaskHandle | Exception:
        try:
            return self._put(claim.periodic, _task_name(claim.periodic, claim.slot), claim.slot)
        except Exception as error:  # noqa: BLE001 - whatever keeps one, the others are enqueued
            return error

    def _put(self, periodic: Periodic, name: str, slot: dt.datetime | None) -> TaskHandle:
        """Enqueue a call that has its name for an id, too: with `once`, it takes effect once."""
        task = periodic.task.options(name=name, eta=slot, delay=None)
        args = (task.receiver_argument(),) if isinstance(task, BoundTask) else ()
        return self.enqueuer.enqueue(task, args, {}, call=name)

    def _mark(self, enqueued: Sequence[tuple[Claim, TaskHandle]], now: dt.datetime) -> None:
        keys = [key_of(claim.periodic) for claim, _ in enqueued]

        def work(transaction: Transaction) -> None:
            for (claim, handle), key, record in zip(
                enqueued, keys, transaction.get(keys), strict=True
            ):
                state = state_of(record)
                # A slow call must not mark over the slot that a later one has claimed meanwhile.
                if state and state.slot == claim.slot:
                    slot = _began(claim, handle, now)
                    # Another region may have taken it; or it has put itself off by now.
                    is_there = state.task == self._full_name(claim.periodic, state.call)
                    task = handle.name if is_there else state.task
                    marked = state._replace(slot=slot, is_enqueued=True, task=task)
                    transaction.put(key, record_of(marked))

        if enqueued:
            self.store.transact(work)


def _began(claim: Claim, handle: TaskHandle, now: dt.datetime) -> dt.datetime:
    """Return from when an interval counts: what a former call has claimed may run only now."""
    when = claim.periodic.timing.when
    is_interval = isinstance(when, dt.timedelta) and bool(when)
    return max(claim.slot, now) if is_interval and handle.is_new else claim.slot


def _together(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Return the results of some work beside each other, in order."""
    if not items:
        return []
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - spares cold starts

    with ThreadPoolExecutor(min(_PARALLEL, len(items))) as pool:
        return list(pool.map(work, items))


def _awaited(periodic: Periodic, state: State | None) -> str:
    """Return the task that has to end before the next run, "" if none has to."""
    return state.task if state and periodic.timing.skips_overlap else ""


def _task_name(periodic: Periodic, slot: dt.datetime) -> str:
    # Hashed, because names with a common or rising prefix slow Cloud Tasks down; in UTC, because
    # the Scheduler gives a time in the job's zone, and the store gives it back in UTC.
    text = f"{periodic.name} {slot.astimezone(dt.UTC).isoformat()}"
    return f"{digest(text)}{RUN}"
