"""Watch the attempts whose process may have died before or may die unnoticed.

An attempt that ends is counted by Cloud Tasks, one whose process dies is not. A plain call is
therefore watched only once Cloud Tasks has made more attempts than were answered, and at the last
attempt that its queue makes: it is noted that the attempt begins, and that it has ended. An attempt
that began and never ended is a crash. It counts as an execution.
"""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import dataclass

from adjourn.errors import AdjournError, ConflictError, EncodeError, EnqueueError, StoreError
from adjourn.execution.current_task import Call
from adjourn.execution.delivery import Outcome
from adjourn.execution.resumption import Resumption
from adjourn.log import event
from adjourn.ports import Adapters
from adjourn.state.call_records import CallRecord, CallRecords


@dataclass(kw_only=True, eq=False, repr=False)
class CrashWatch:
    """Notes the begin and the end of attempts, and counts those without an end."""

    adapters: Adapters
    records: CallRecords
    resumption: Resumption

    def begin(self, call: Call, longest: dt.timedelta) -> Call | None:
        """Note that an attempt begins; return the call with its crashes, None if it must not run.

        Cloud Tasks deletes the task after the queue's last attempt even if the process dies. Then
        a successor is enqueued first, which finds out how this attempt ended.

        Args:
            call: The call.
            longest: How long the attempt may take, the lease of its claim included.

        Raises:
            StoreError: Datastore could not be reached; nothing may be acknowledged.
            ConflictError: The record is being written by others; nothing may be acknowledged.
        """
        envelope = call.envelope
        record = self._begun(call)
        if not record.is_open or record.resumed > envelope.resumed:
            _tell_refusal(envelope.task, record)
            return None
        call = call._replace(crashes=record.crashes, waits=record.waits)
        if not call.is_queues_last or call.has_crashed_too_often:
            return call
        return call._replace(
            successor=self._successor(call, self.adapters.clock.now() + longest),
            # Whatever else is enqueued for this call comes after its successor.
            envelope=envelope._replace(resumed=envelope.resumed + 1),
        )

    def end(self, call: Call, outcome: Outcome | None) -> None:
        """Note that an attempt has ended, as `begin` has noted its begin; failures are logged."""
        is_over = outcome in {Outcome.DONE, Outcome.DEAD}
        try:
            if outcome is not None:  # else the record was changed when it was enqueued again
                self.records.end(call.envelope.identity, call.attempt.number, is_over=is_over)
            if call.successor:
                self.adapters.queue.delete(call.successor)
        except AdjournError as error:
            # The outcome stands. A next attempt takes this one for a crash.
            event("service.unavailable", logging.WARNING, str(error), error=error)

    def _begun(self, call: Call) -> CallRecord:
        envelope, delivery = call.envelope, call.delivery
        try:
            return self.records.begin(
                envelope.identity,
                call.attempt.number,
                resumed=envelope.resumed,
                task=self.adapters.queue.full_name(delivery.queue, delivery.task_name),
            )
        except (StoreError, ConflictError) as error:
            if envelope.resumed or call.is_queues_last:
                raise
            # A plain call does not depend on Datastore.
            event("service.unavailable", logging.WARNING, str(error), error=error)
            return CallRecord()

    def _successor(self, call: Call, at: dt.datetime) -> str:
        try:
            return self.resumption.prepare_successor(call, at)
        except (EnqueueError, EncodeError, StoreError) as error:
            # Not to run would lose the call for certain.
            event("service.unavailable", logging.WARNING, str(error), error=error)
            return ""


def _tell_refusal(task: str, record: CallRecord) -> None:
    if record.is_cancelled:
        event("task.cancelled", logging.INFO, f"{task} was cancelled; it does not run")
    else:
        event("task.duplicate", logging.INFO, f"{task} has ended or gone on as another task")
