"""Receive delivered calls: decide whether each may run now, later or never."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from adjourn.errors import DecodeError, UnknownNameError
from adjourn.execution.call import SKEW, Call, CallExecutor
from adjourn.execution.delivery import Delivery, Outcome
from adjourn.execution.retry_warning import RetryWarnings
from adjourn.log import bound, event, trace_fields
from adjourn.names import RUN, UNIQUE_NAME
from adjourn.ports import Adapters
from adjourn.registry import Registry
from adjourn.serialization.codec import Codec
from adjourn.serialization.context import TRACEPARENT, text
from adjourn.serialization.envelope import Envelope
from adjourn.settings import Settings
from adjourn.state.large_payloads import LargePayloads
from adjourn.state.transaction_markers import TransactionMarkers, TransactionOutcome, wait
from adjourn.tasks.methods import Method, resolved
from adjourn.tasks.task import Task

# How long a task with an unknown name is retried, as during a rolling deploy.
GRACE = dt.timedelta(hours=1)

# Delay of a call that goes on as a new task after the last attempt that its queue makes.
_PAUSE = dt.timedelta(minutes=1)


@dataclass(kw_only=True, eq=False, repr=False)
class TaskRunner:
    """Runs the calls that Cloud Tasks delivers to the deferred function.

    Attributes:
        on_periodic: Called with each periodic run before it begins.
    """

    tasks: Registry[Task[..., Any]]
    adapters: Adapters
    settings: Settings
    codec: Codec
    payloads: LargePayloads
    markers: TransactionMarkers
    retry_warnings: RetryWarnings
    executor: CallExecutor
    on_periodic: Callable[[Envelope], None]

    def __call__(self, delivery: Delivery) -> Outcome:
        """Run a delivered call, or make it a dead letter if it can never run.

        Raises:
            StoreError: A record could not be read or written; nothing may be acknowledged.
            EnqueueError: A call could not be enqueued again; nothing may be acknowledged.
        """
        try:
            envelope = Envelope.decode(delivery.body, self.codec)
        except DecodeError as error:
            return self.reject(delivery, error)
        call = Call.of(envelope, delivery, self.settings.attempts_of(delivery.queue))
        trace = trace_fields(self.settings.project, text(envelope.context, TRACEPARENT))
        with bound(task=envelope.task, task_id=envelope.id, attempt=call.attempt.number, **trace):
            outcome = self._last_of_queue(call) if call.is_queues_last else self._admit(call)
        return outcome or Outcome.DONE

    def reject(self, delivery: Delivery, error: DecodeError) -> Outcome:
        """Make a delivery whose body cannot be decoded a dead letter.

        Raises:
            StoreError: The record was not written; nothing may be acknowledged.
        """
        error.__cause__ = None  # it may quote an argument, and this is logged
        self.executor.dead_letters.record(delivery, error)
        return Outcome.DEAD

    def _last_of_queue(self, call: Call) -> Outcome | None:
        """Admit the last attempt that the queue makes; unless the call ends, enqueue it again."""
        failure: Exception | None = None
        try:
            outcome = self._admit(call)
        except Exception as error:  # noqa: BLE001 - whatever it is, the call must not be lost
            outcome, failure = Outcome.TROUBLE, error
        if outcome in {Outcome.DONE, Outcome.DEAD, None}:
            return outcome
        message = f"{call.envelope.task} goes on as a new task: its queue makes no more attempts"
        event("task.rescued", logging.WARNING, message, error=failure)
        return self.executor.resume(call, self.adapters.clock.now() + _PAUSE, counts=False)

    def _admit(self, call: Call) -> Outcome | None:
        """Run a call unless it is expired, early, unknown or of a transaction without commit.

        Returns:
            The outcome; None if the call was enqueued again.
        """
        envelope, now = call.envelope, self.adapters.clock.now()
        has_begun = call.attempt.execution_count > 0
        if envelope.expires_at is not None and now >= envelope.expires_at and not has_begun:
            event("task.expired", logging.WARNING, f"{envelope.task} has expired; it is dropped")
            self.executor.drop(call)
            return Outcome.DONE
        if envelope.eta is not None and envelope.eta - now > SKEW:
            return self.executor.resume(call, envelope.eta, counts=False)
        if envelope.marker:
            return self._admit_committed(call)
        if envelope.stowed:
            call = self._with_arguments(call)
        try:
            task = self.tasks.get(envelope.task)
            if isinstance(task, Method):
                task = resolved(task, call.envelope.args)
        except UnknownNameError as error:
            return self._unknown(call, error)
        return self._execute(call, task)

    def _execute(self, call: Call, task: Task[..., Any]) -> Outcome | None:
        envelope = call.envelope
        if call.attempt.retry_count:
            self.retry_warnings.check(envelope.id, envelope.task, call.attempt)
        if envelope.id.endswith(RUN):
            self.on_periodic(envelope)
        # Earlier versions of adjourn did not tell which calls are unique.
        task_name = call.delivery.task_name
        if unique := envelope.unique or (UNIQUE_NAME.fullmatch(task_name) and task_name):
            self.executor.enqueuer.unique_calls.begin(unique)
        return self.executor.execute(call, task)

    def _admit_committed(self, call: Call) -> Outcome | None:
        """Admit a call of a transaction if that was committed."""
        envelope, now = call.envelope, self.adapters.clock.now()
        transaction = self.markers.outcome_of(envelope.marker, envelope.enqueued_at)
        if transaction is TransactionOutcome.OPEN:
            return self.executor.resume(call, now + wait(envelope.resumed), counts=False)
        if transaction is TransactionOutcome.ROLLED_BACK:
            event("task.rolled_back", logging.INFO, f"{envelope.task}: no commit; it is dropped")
            self.executor.drop(call)
            return Outcome.DONE
        # Remembered as committed, since the marker may have expired when the call is resumed.
        return self._admit(call._replace(envelope=envelope._replace(marker="")))

    def _with_arguments(self, call: Call) -> Call:
        """Return a call with its stored arguments, or with the error why they cannot be read.

        They are read before the call is claimed: if Datastore is out of reach, a call that must not
        be begun twice can still be retried.
        """
        try:
            return call._replace(envelope=self.payloads.fetch(call.envelope, self.codec))
        except DecodeError as error:
            error.__cause__ = None  # it may quote an argument, and this is logged
            return call._replace(unreadable=error)

    def _unknown(self, call: Call, error: UnknownNameError) -> Outcome:
        due = call.envelope.eta or call.envelope.enqueued_at
        if self.adapters.clock.now() - due > GRACE:
            return self.executor.give_up(call, error)
        event("task.unknown", logging.WARNING, f"{error}; it is retried for an hour")
        return Outcome.UNKNOWN
