"""Claim the slots of schedules that are due, and mark those that were enqueued."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from adjourn.concurrency import in_parallel
from adjourn.cron.due import Decision
from adjourn.cron.last_run import LastRun, last_run, may_be_due
from adjourn.cron.tick import interval_start, marked, tell_skipped
from adjourn.errors import AdjournError, EnqueueError
from adjourn.log import event
from adjourn.names import RUN, digest_of
from adjourn.ports import EntityStore, TaskQueue, Transaction
from adjourn.schedules.scheduled_calls import ScheduledCall, ScheduledCalls
from adjourn.schedules.stored_schedule import StoredSchedule, key_of, write_back
from adjourn.tasks.handle import Enqueued, TaskHandle


class Planned(NamedTuple):
    """A schedule that may be due, what it calls, and its last run."""

    stored: StoredSchedule
    call: ScheduledCall
    last: LastRun


class Claimed(NamedTuple):
    """A slot that this call of the Scheduler has claimed."""

    planned: Planned
    slot: dt.datetime
    name: str


@dataclass(kw_only=True, eq=False, repr=False)
class ScheduleSlots:
    """The slots of schedules: what is due, who has claimed it, and whether it is enqueued."""

    calls: ScheduledCalls

    @property
    def _store(self) -> EntityStore:
        return self.calls.enqueuer.adapters.store

    @property
    def _queue(self) -> TaskQueue:
        return self.calls.enqueuer.adapters.queue

    def planned(
        self, names: Sequence[str], tick: dt.datetime, now: dt.datetime
    ) -> list[Planned | Exception]:
        """Return the schedules that may be due; in place of one whose last run is unknown, why.

        Raises:
            StoreError: Datastore could not be reached.
        """
        records = self._store.get([key_of(name) for name in names])
        candidates: list[tuple[StoredSchedule, ScheduledCall]] = []
        for name, record in zip(names, records, strict=True):
            if record is None:
                continue
            stored = StoredSchedule.of(name, record)
            call = self._decoded(stored)
            if call is not None:
                candidates.append((stored, call))

        def plan(candidate: tuple[StoredSchedule, ScheduledCall]) -> Planned | Exception:
            stored, call = candidate
            timing = stored.given.timing()
            last: LastRun | EnqueueError = LastRun("", is_there=False)
            if may_be_due(timing, stored.state, tick, now):
                last = last_run(self._queue, timing, stored.state)
            if isinstance(last, EnqueueError):
                tell_failed(stored.name, last)
                return last
            return Planned(stored, call, last)

        return in_parallel(plan, candidates)

    def _decoded(self, stored: StoredSchedule) -> ScheduledCall | None:
        """Return what a schedule calls; None, told in the log, if that is unknown here.

        The Scheduler need not call again for it. It stays due, for a revision that knows it.
        """
        try:
            stored.given.timing()
            return self.calls.decode(stored.name, stored.content)
        except AdjournError as error:
            tell_failed(stored.name, error)
            return None

    def claim(
        self, planned: Mapping[str, Planned], tick: dt.datetime, now: dt.datetime
    ) -> list[Claimed]:
        """Claim the slots that are due in one transaction.

        Raises:
            StoreError: Datastore could not be reached.
        """
        keys = [key_of(name) for name in planned]

        def work(transaction: Transaction) -> list[Claimed]:
            claimed = []
            for each, record in zip(planned.values(), transaction.get(keys), strict=True):
                stored = StoredSchedule.of(each.stored.name, record) if record else None
                # One that was changed a moment ago is found by the next call, if it is due.
                is_same = stored is not None and stored.definition == each.stored.definition
                if stored is None or not is_same or stored.status != "active":
                    continue
                decision = each.last.decide(stored.given.timing(), stored.state, tick, now)
                tell_skipped(f"The schedule {stored.name}", decision)
                after = self._after(each, stored, decision)
                write_back(transaction, after, record)
                if decision.slot:
                    claimed.append(Claimed(each, decision.slot, after.state.call))
            return claimed

        return self._store.transact(work)

    def _after(
        self, planned: Planned, stored: StoredSchedule, decision: Decision
    ) -> StoredSchedule:
        """Return a schedule after a decision, with the name of the task that its slot needs.

        The name is stored before there is a task, so that a run that postpones itself at once is
        followed.
        """
        state = decision.state or stored.state
        if decision.slot is None or (
            not stored.state.is_enqueued and state.slot == stored.state.slot
        ):
            return stored._replace(state=state)
        name = _task_name(stored.name, decision.slot)
        full_name = self.calls.enqueuer.full_name(planned.call.task, name)
        return stored._replace(
            state=state._replace(task=full_name, call=name), last_due=decision.slot
        )

    def mark(self, enqueued: Sequence[tuple[Claimed, Enqueued]], now: dt.datetime) -> None:
        """Store which slots have tasks, unless a later call has claimed another one meanwhile."""
        created = [(claim, each) for claim, each in enqueued if isinstance(each, TaskHandle)]
        keys = [key_of(claim.planned.stored.name) for claim, _ in created]

        def work(transaction: Transaction) -> None:
            for (claim, handle), record in zip(created, transaction.get(keys), strict=True):
                stored = StoredSchedule.of(claim.planned.stored.name, record) if record else None
                if stored is None or stored.state.call != claim.name:
                    continue
                timing, task = claim.planned.stored.given.timing(), claim.planned.call.task
                start = interval_start(timing, claim.slot, handle, now)
                first = self.calls.enqueuer.full_name(task, claim.name)
                state = marked(stored.state, start, handle, first)
                write_back(transaction, stored._replace(state=state), record)

        if created:
            self._store.transact(work)


def tell_failed(name: str, error: Exception) -> None:
    """Log why a schedule is not enqueued now."""
    event("schedules.failed", logging.ERROR, f"The schedule {name}: {error}", error=error)


def _task_name(schedule: str, slot: dt.datetime) -> str:
    return f"{digest_of('schedule', schedule, slot.astimezone(dt.UTC).isoformat())}{RUN}"
