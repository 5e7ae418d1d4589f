"""Enqueue the runs of schedules when Cloud Scheduler calls, each due time once.

What is due is found by one query, and worked on in blocks, several at a time. In a block the slots
are claimed in a transaction, their tasks are enqueued under names that are derived from them, and
then the slots are marked as enqueued. If the process dies in between, the next call completes the
claims. A schedule that cannot be enqueued holds no other up.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from adjourn.concurrency import in_threads
from adjourn.errors import EncodeError, EnqueueError
from adjourn.execution.delivery import Delivery, Outcome
from adjourn.log import event
from adjourn.ports import EntityStore
from adjourn.schedules.scheduled_calls import ScheduledCalls
from adjourn.schedules.slots import Claimed, Planned, ScheduleSlots, tell_failed
from adjourn.schedules.stored_schedule import KIND, due_property
from adjourn.tasks.handle import Enqueued
from adjourn.tasks.named_call import NamedCall

# A transaction may write 500 entities, and a task that is enqueued in one request with 99 others
# costs least.
_BLOCK = 100
_MOST = 100_000
# A call of the Scheduler takes on no more block after this: the next one follows within a minute.
_LONGEST = 45.0  # seconds
_STEP = dt.timedelta(microseconds=1)


class Result(NamedTuple):
    """What became of a block, or of a part of it.

    Attributes:
        due: Slots that were claimed.
        error: Why some were not enqueued; None if all were.
    """

    due: int
    error: Exception | None = None


@dataclass(kw_only=True, eq=False, repr=False)
class FanOut:
    """Enqueues the runs of schedules that are due.

    Attributes:
        calls: What the schedules call, and what enqueues it.
        cron_names: The cron names that serve schedules.
    """

    calls: ScheduledCalls
    cron_names: Sequence[str]

    def after(self, receive: Callable[[Delivery], Outcome]) -> Callable[[Delivery], Outcome]:
        """Return what receives a call of the Scheduler: first `receive`, then this, in any case."""

        def both(delivery: Delivery) -> Outcome:
            failure: Exception | None = None
            try:
                outcome = receive(delivery)
            except Exception as error:  # noqa: BLE001 - it is raised in the end
                failure = error
            if (cron_name := delivery.path.strip("/")) in self.cron_names:
                self.tick(cron_name, delivery.scheduled)
            if failure:
                raise failure
            return outcome

        return both

    def tick(self, cron_name: str, scheduled: dt.datetime | None) -> int:
        """Enqueue what is due under a cron name; return the number of due times.

        Args:
            cron_name: The cron name.
            scheduled: The time that the Scheduler gives for this call.

        Raises:
            StoreError: Schedules could not be read or written.
            EnqueueError: Not everything due was enqueued; the Scheduler is to call again.
        """
        now = self._now()
        tick = min(scheduled or now, now)
        property_ = due_property(cron_name)
        names = self._store.names(KIND, by=property_, before=now + _STEP, limit=_MOST)
        taken: list[int] = []

        def work(names: Sequence[str]) -> Sequence[Result]:
            return self._results(names, tick, now)

        results = list(in_threads(work, self._blocks(names, taken)))
        failed = [each.error for each in results if each.error]
        if left := len(names) - sum(taken):
            failed.append(
                EnqueueError(f"{left} schedules wait for the next call: it takes too long")
            )
        due = sum(each.due for each in results)
        if names:
            event(
                "schedules.tick",
                logging.ERROR if failed else logging.INFO,
                f"{cron_name}: {due} due times of schedules, {len(failed)} failures",
                cron_name=cron_name,
                due=due,
            )
        if failed:
            raise failed[0]
        return due

    def _enqueued(self, claimed: Sequence[Claimed]) -> list[Enqueued]:
        return list(self.calls.enqueuer.enqueue_named(map(_call, claimed)))

    @property
    def slots(self) -> ScheduleSlots:
        """What claims the slots."""
        return ScheduleSlots(calls=self.calls)

    @property
    def _store(self) -> EntityStore:
        return self.calls.enqueuer.adapters.store

    def _now(self) -> dt.datetime:
        return self.calls.enqueuer.adapters.clock.now()

    def _blocks(self, names: Sequence[str], taken: list[int]) -> Iterator[Sequence[str]]:
        """Yield the names in blocks until the time is up; note how many were taken."""
        clock = self.calls.enqueuer.adapters.clock
        began = clock.monotonic()
        for start in range(0, len(names), _BLOCK):
            if clock.monotonic() - began > _LONGEST:
                return
            block = names[start : start + _BLOCK]
            taken.append(len(block))
            yield block

    def _results(
        self, names: Sequence[str], tick: dt.datetime, now: dt.datetime
    ) -> Sequence[Result]:
        try:
            return self._enqueue(names, tick, now)
        except Exception as error:  # noqa: BLE001 - the other blocks are enqueued all the same
            event("schedules.failed", logging.ERROR, f"A block of schedules: {error}", error=error)
            return [Result(0, error)]

    def _enqueue(
        self, names: Sequence[str], tick: dt.datetime, now: dt.datetime
    ) -> Sequence[Result]:
        """Enqueue what is due of some schedules."""
        found = self.slots.planned(names, tick, now)
        planned = {each.stored.name: each for each in found if isinstance(each, Planned)}
        claimed = self.slots.claim(planned, tick, now) if planned else []
        handles = self._enqueued(claimed)
        self.slots.mark(list(zip(claimed, handles, strict=True)), now)
        failed = [each for each in found if isinstance(each, Exception)]
        for claim, handle in zip(claimed, handles, strict=True):
            if isinstance(handle, Exception):
                tell_failed(claim.planned.stored.name, handle)
                # What cannot be encoded now cannot be in a moment.
                failed += [] if isinstance(handle, EncodeError) else [handle]
        return [Result(len(claimed)), *(Result(0, each) for each in failed)]


def _call(claim: Claimed) -> NamedCall:
    """Return a run: its id is the name of its task, so that `once` applies to the slot."""
    task, args, kwargs = claim.planned.call
    due = task.with_defaults(task.defaults._replace(eta=claim.slot, delay=None))
    return NamedCall(due, args, kwargs, claim.name, claim.planned.stored.name)
