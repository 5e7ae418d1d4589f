"""Admission: a delivered call runs within the limits of its flows, or waits until it is called."""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

from adjourn.errors import AdjournError, ConflictError, EnqueueError, StoreError
from adjourn.execution.call import SKEW, CallExecutor
from adjourn.execution.current_task import Call
from adjourn.execution.delivery import Outcome
from adjourn.flow.guard import time_of
from adjourn.flow.limits import Flow, declared_flows, keys_of, named
from adjourn.flow.records import read_record, record_key
from adjourn.flow.session import Session
from adjourn.flow.transactions import FlowTransactions, Work, tell_trouble
from adjourn.flow.visits import Entrance, Entry, Place, Visit
from adjourn.flow.waiting_calls import WaitingCalls
from adjourn.log import event
from adjourn.ports import Adapters
from adjourn.registry import Registry
from adjourn.tasks.arguments import check_arguments
from adjourn.tasks.task import Task

_PATIENCE = 5  # transactions that may lose to contention before a permit is left to its lease
_COMMIT = dt.timedelta(seconds=10)
# A call that has waited may stay so long in its process for the next token of its rate.
_STAY = dt.timedelta(seconds=3)
_NOTHING = dt.timedelta()
_RUNS = {Entry.RUNS, Entry.RUNS_AFTER_WAIT}
# Of a flow that is not declared any more, whose calls still wait.
_UNLIMITED = Flow(concurrency=1_000_000)


@dataclass(kw_only=True, eq=False, repr=False)
class Admission:
    """Lets delivered calls run within the limits of their flows.

    Attributes:
        tasks: The declared tasks.
        executor: Runs calls.
    """

    tasks: Registry[Task[..., Any]]
    executor: CallExecutor
    _delay: dt.timedelta = field(default=_NOTHING, init=False)  # of the latest calls

    def __call__(
        self, call: Call, task: Task[..., Any], run: Callable[[Call], Outcome | None]
    ) -> Outcome | None:
        """Run a call if its flows allow it; else let it wait without an attempt being spent.

        Returns:
            The outcome; None if the call waits, or was enqueued again.

        Raises:
            StoreError: Datastore could not be reached; nothing may be acknowledged.
            ConflictError: The records are being written by others; nothing may be acknowledged.
            EnqueueError: A guard could not be called; nothing may be acknowledged.
        """
        try:
            places = self._places(call, task)
        except Exception as error:  # noqa: BLE001 - of the user's code, or for arguments that do not fit
            return self.executor.failed(call, error, task)
        visit = self._visit(call)
        entrance = self._entrance(places, visit)
        entry, name = entrance.entry, call.envelope.task
        if entry in _RUNS:
            return self._run(call, places, visit, run, entrance)
        if entry is Entry.WAITS:
            self.executor.resumption.on_resumed(call, self._waiting.next_task(call))
            event("flow.waiting", logging.INFO, f"{name} waits for its flow")
            return None
        if entry is Entry.BUSY:
            self.executor.note_wait(call)
            return Outcome.BUSY
        event("task.duplicate", logging.INFO, f"{name} has ended, was cancelled, or waits")
        return Outcome.DONE

    def look_after(self, flow: str, key: str, guard_at: str) -> None:
        """Find the permits whose holders have died, and call those who wait for them.

        Args:
            flow: Name of the flow.
            key: The key.
            guard_at: The time for which the guard was called; empty if it was sent by hand.

        Raises:
            StoreError: Datastore could not be reached.
            EnqueueError: A task could not be created.
        """
        place = Place(flow, key, self._flows.get(flow, _UNLIMITED))
        store, now = self._adapters.store, self._adapters.clock.now()
        record = read_record(flow, key, store.get([record_key(flow, key)])[0])
        overdue = record.state.overdue(now)
        for call in overdue:
            found = self.executor.watch.records.get(call)
            if found is not None and found.is_open and found.parked:
                self._waiting.create_task(found)

        def work(session: Session) -> None:
            session.look_after(overdue, time_of(guard_at))

        self._combined((place,), Work(work))

    def _places(self, call: Call, task: Task[..., Any]) -> tuple[Place, ...]:
        flows, envelope = task.defaults.flow or (), call.envelope
        keys = envelope.flow
        are_texts = all(isinstance(key, str) for key in keys)
        if (
            len(keys) != len(flows) or not are_texts
        ):  # it was enqueued by a revision with other flows
            bound = check_arguments(task.name, task.function, envelope.args, dict(envelope.kwargs))
            keys = keys_of(task.name, flows, bound, None, self.executor.enqueuer.codec)
        found = zip(named(flows, task.name), keys, strict=True)
        return tuple(Place(name, key, flow) for (name, flow), key in found)

    def _visit(self, call: Call) -> Visit:
        envelope, adapters = call.envelope, self._adapters
        return Visit(
            call=envelope.identity,
            holder=adapters.new_id(),
            resumed=envelope.resumed,
            # For the clocks of others, and for the time that the commit takes.
            lease=self.executor.longest(call) + SKEW + _COMMIT + _STAY,
            queue=call.delivery.queue or envelope.queue,
            parked=partial(self._waiting.parked, call),
            patience=_STAY,
            delay=_NOTHING,
        )

    def _entrance(self, places: tuple[Place, ...], visit: Visit) -> Entrance:
        """Return what a call may do; when it may run, its time has come."""
        clock = self._adapters.clock
        for _ in range(_PATIENCE):
            began = clock.now()
            entrance = self._entered(places, replace(visit, delay=min(2 * self._delay, _STAY)))
            if entrance.entry not in _RUNS:
                return entrance
            # A token for a time before its commit is answered would be lost, where slack is small.
            self._delay = max(clock.now() - entrance.decided_at, self._delay / 2)
            pause = min(entrance.at - clock.now(), _STAY)  # a clock may have been set back
            if entrance.deadline is not None and pause > _NOTHING:
                self._adapters.wait(threading.Event(), pause.total_seconds())
            now = clock.now()
            is_in_time = entrance.deadline is None or entrance.at <= now <= entrance.deadline
            if is_in_time and now - began <= _COMMIT + visit.patience:
                return entrance
            # Its token is lost; the next one is for now, or it waits in the line.
            visit = replace(visit, patience=_NOTHING)
        self._leave(places, visit, has_waited=False, is_over=False)
        raise StoreError("A permit came so late that it was of no use any more.")

    def _entered(self, places: tuple[Place, ...], visit: Visit) -> Entrance:
        def work(session: Session) -> Entrance:
            return session.enter(visit)

        try:
            entrance: Entrance = self._combined(places, Work(work, visit.call))
        except (StoreError, EnqueueError):
            # It may have been written nevertheless, and would be in the way until its lease ends.
            self._leave(places, visit, has_waited=False, is_over=False)
            raise
        return entrance

    def _run(
        self,
        call: Call,
        places: tuple[Place, ...],
        visit: Visit,
        run: Callable[[Call], Outcome | None],
        entrance: Entrance,
    ) -> Outcome | None:
        is_over, has_waited = False, entrance.entry is Entry.RUNS_AFTER_WAIT
        try:
            outcome = run(call._replace(is_noted=has_waited))
            is_over = outcome in {Outcome.DONE, Outcome.DEAD}
        finally:
            if entrance.is_held or has_waited:
                self._leave(places, visit, has_waited=has_waited, is_over=is_over)
        return outcome

    def _leave(
        self, places: tuple[Place, ...], visit: Visit, *, has_waited: bool, is_over: bool
    ) -> None:
        def work(session: Session) -> bool:
            return session.leave(visit.call, visit.holder, has_waited=has_waited, is_over=is_over)

        both = Work(work, visit.call if has_waited else None, is_end=not has_waited)
        for attempt in range(_PATIENCE):
            try:
                if not self._combined(places, both) and is_over:
                    event("task.fenced", logging.WARNING, "A call outlived the permit of its flow")
            except ConflictError as error:
                if attempt == _PATIENCE - 1:
                    tell_trouble(error)
            except AdjournError as error:
                # The outcome stands. The permit is found when its lease has ended.
                tell_trouble(error)
                return
            else:
                return

    @cached_property
    def _combined(self) -> FlowTransactions:
        return FlowTransactions(
            adapters=self._adapters, waiting=self._waiting, queue=self.executor.settings.queue
        )

    @cached_property
    def _waiting(self) -> WaitingCalls:
        return WaitingCalls(enqueuer=self.executor.enqueuer)

    @property
    def _adapters(self) -> Adapters:
        return self.executor.adapters

    @cached_property
    def _flows(self) -> Mapping[str, Flow]:
        """The declared flows by name."""
        return declared_flows(self.tasks)
