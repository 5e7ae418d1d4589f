"""A call goes on as another task: it is enqueued again, and its record says where it is now."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adjourn.errors import ConflictError, StoreError
from adjourn.execution.current_task import Call
from adjourn.log import event
from adjourn.state.call_records import CallRecord, CallRecords
from adjourn.tasks.enqueue import Enqueuer

if TYPE_CHECKING:
    from adjourn.tasks.handle import TaskHandle


@dataclass(kw_only=True, eq=False, repr=False)
class Resumption:
    """Enqueues calls again.

    Attributes:
        enqueuer: What enqueues them.
        records: The records of calls.
        on_resumed: Called with each call that was enqueued again, and the full name of its new
            task.
    """

    enqueuer: Enqueuer
    records: CallRecords
    on_resumed: Callable[[Call, str], None]

    def resume(self, call: Call, at: dt.datetime, *, counts: bool) -> None:
        """Enqueue a call again, unless it was cancelled or has already gone further.

        The task is created first. If the process dies before the record is written, the former
        task is delivered again and does the same under the same name.

        Args:
            call: The call.
            at: Earliest start of the new task.
            counts: Whether this attempt counts towards the call's limits.

        Raises:
            EnqueueError: Cloud Tasks did not accept the task.
            EncodeError: The call cannot be encoded.
            StoreError: Datastore could not be reached.
        """
        handle = self._enqueue(call, at, attempts=counts, executions=counts)
        record = self._move(call, handle.name, at)
        if record.is_cancelled or record.resumed > call.envelope.resumed + 1:
            self.enqueuer.adapters.queue.delete(handle.name)
            what = "cancelled" if record.is_cancelled else "duplicate"
            event(f"task.{what}", logging.INFO, f"{call.envelope.task} is not enqueued again")
            return
        self.on_resumed(call, handle.name)

    def _move(self, call: Call, task: str, start: dt.datetime) -> CallRecord:
        resumed = call.envelope.resumed + 1
        try:
            return self.records.move(
                call.envelope.identity, call.attempt.number, resumed=resumed, task=task, start=start
            )
        except (StoreError, ConflictError) as error:
            if not (call.has_begun or call.is_queues_last):
                raise
            # The call goes on. It must not run again because the handle cannot find it meanwhile.
            event("service.unavailable", logging.WARNING, str(error), error=error)
            return CallRecord(resumed=resumed)

    def prepare_successor(self, call: Call, at: dt.datetime) -> str:
        """Enqueue the task that goes on if the process of this attempt dies; return its full name.

        Raises:
            EnqueueError: Cloud Tasks did not accept the task.
            EncodeError: The call cannot be encoded.
            StoreError: Datastore could not be reached.
        """
        handle = self._enqueue(call, at, attempts=True, executions=False)
        self.on_resumed(call, handle.name)
        return handle.name

    def _enqueue(
        self, call: Call, at: dt.datetime, *, attempts: bool, executions: bool
    ) -> TaskHandle:
        envelope = call.envelope
        resumed = envelope._replace(
            queue=call.delivery.queue or envelope.queue,
            resumed=envelope.resumed + 1,
            attempts=call.attempt.retry_count + attempts,
            executions=call.attempt.execution_count + executions,
        )
        return self.enqueuer.resume(resumed, at)
