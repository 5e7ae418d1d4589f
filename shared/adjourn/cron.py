"""Periodic functions: which are due when Cloud Scheduler calls, each claimed once for its slot.

A slot is one due time of one function. It is claimed in a transaction before its task is enqueued
under a name made from it, and marked when that is done: a crash in between leaves a claim that the
next call completes, and no call, however often repeated, makes a second task.
"""

import datetime as dt
import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from adjourn.clock import Clock
from adjourn.errors import EnqueueError, UnknownNameError
from adjourn.log import event
from adjourn.ports import EntityStore, Record, RecordKey, Transaction
from adjourn.registry import Registry
from adjourn.tasks import Task, TaskHandle

KIND = "AdjournPeriodic"

# Cloud Scheduler may be early against its last call by as much as that one was late, also through
# retries. What becomes due within a tenth of its interval is enqueued now, to start when it is due.
_LONGEST_LOOKAHEAD = dt.timedelta(days=1)  # well below the 30 days that Cloud Tasks allows
_PARALLEL = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Periodic:
    """A function that runs again and again, never sooner than `interval` after it last was due."""

    task: Task[[], Any]
    interval: dt.timedelta
    cron_name: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class State:
    """What is stored of a periodic function: its last slot, and whether its task is queued."""

    slot: dt.datetime
    is_enqueued: bool


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Claim:
    """A slot that this call has claimed."""

    periodic: Periodic
    slot: dt.datetime


def due(
    periodic: Periodic, state: State | None, tick: dt.datetime, now: dt.datetime
) -> dt.datetime | None:
    """Return the slot to enqueue now, None if nothing is due.

    A slot that was claimed but not enqueued comes first. An interval of zero is due once for each
    tick, however often the Scheduler repeats it.

    Args:
        periodic: The declaration.
        state: What is stored, None before the first run.
        tick: When the Scheduler says that it called, never later than now.
        now: The present.
    """
    if state is None:
        return now if periodic.interval else tick
    if not state.is_enqueued:
        return state.slot
    if not periodic.interval:
        return tick if tick > state.slot else None
    next_slot = state.slot + periodic.interval
    lookahead = min(periodic.interval / 10, _LONGEST_LOOKAHEAD)
    return max(now, next_slot) if next_slot - now <= lookahead else None


@dataclass(kw_only=True, eq=False, repr=False)
class Cron:
    """Answers the calls of Cloud Scheduler."""

    periodics: Registry[Periodic]
    store: EntityStore
    enqueue: Callable[[Task[[], Any]], TaskHandle]
    clock: Clock

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
        periodics = [p for p in self.periodics if p.cron_name == cron_name]
        if not periodics:
            names = ", ".join(sorted({p.cron_name for p in self.periodics})) or "none"
            raise UnknownNameError(
                f"No periodic function has the cron name {cron_name!r}; there are: {names}"
            )
        now = self.clock.now()
        claimed = self._claim(periodics, min(scheduled or now, now), now)
        results = list(zip(claimed, self._enqueue_all(claimed), strict=True))
        self._mark([claim for claim, error in results if error is None])
        failed = [(claim.periodic.task.name, error) for claim, error in results if error]
        for name, error in failed:
            event("cron.failed", logging.ERROR, f"{name}: {error}", error=error)
        event(
            "cron.tick",
            logging.ERROR if failed else logging.INFO,
            f"{cron_name}: {len(claimed)} of {len(periodics)} due, {len(failed)} not enqueued",
            cron_name=cron_name,
        )
        if failed:
            raise failed[0][1]
        return len(claimed)

    def _claim(
        self, periodics: Sequence[Periodic], tick: dt.datetime, now: dt.datetime
    ) -> list[Claim]:
        keys = [_key(periodic) for periodic in periodics]

        def work(transaction: Transaction) -> list[Claim]:
            claimed = []
            for periodic, record in zip(periodics, transaction.get(keys), strict=True):
                slot = due(periodic, _state(record), tick, now)
                if slot is not None:
                    claimed.append(Claim(periodic, slot))
                    transaction.put(_key(periodic), {"slot": slot, "is_enqueued": False})
            return claimed

        return self.store.transact(work)

    def _enqueue_all(self, claims: Sequence[Claim]) -> list[EnqueueError | None]:
        if not claims:
            return []
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - spares cold starts

        with ThreadPoolExecutor(min(_PARALLEL, len(claims))) as pool:
            return list(pool.map(self._enqueue, claims))

    def _enqueue(self, claim: Claim) -> EnqueueError | None:
        name = _task_name(claim)
        try:
            self.enqueue(claim.periodic.task.options(name=name, eta=claim.slot, delay=None))
        except EnqueueError as error:
            return error
        return None

    def _mark(self, claims: Sequence[Claim]) -> None:
        keys = [_key(claim.periodic) for claim in claims]

        def work(transaction: Transaction) -> None:
            for claim, key, record in zip(claims, keys, transaction.get(keys), strict=True):
                state = _state(record)
                # A slow call must not mark over the slot that a later one has claimed meanwhile.
                if state and state.slot == claim.slot:
                    transaction.put(key, {"slot": claim.slot, "is_enqueued": True})

        if claims:
            self.store.transact(work)


def _key(periodic: Periodic) -> RecordKey:
    return RecordKey(KIND, periodic.task.name)


def _state(record: Record | None) -> State | None:
    if record is None:
        return None
    slot = record["slot"]
    assert isinstance(slot, dt.datetime)  # noqa: S101 - we wrote it
    return State(slot=slot, is_enqueued=bool(record["is_enqueued"]))


def _task_name(claim: Claim) -> str:
    # Hashed, because names with a common or rising prefix slow Cloud Tasks down; in UTC, because
    # the Scheduler gives a time in the job's zone, and the store gives it back in UTC.
    slot = f"{claim.periodic.task.name} {claim.slot.astimezone(dt.UTC).isoformat()}"
    digest = hashlib.sha256(slot.encode()).hexdigest()
    return f"{digest[:32]}-periodic"
