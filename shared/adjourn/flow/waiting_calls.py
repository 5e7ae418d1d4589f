"""Calls that wait: their records, and the tasks by which they are called."""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import dataclass, replace

from adjourn.errors import DecodeError
from adjourn.execution.current_task import Call
from adjourn.log import event
from adjourn.ports import Adapters, Transaction
from adjourn.ports.sealer import is_sealed
from adjourn.serialization.envelope import Envelope
from adjourn.serialization.stored_seals import sealed
from adjourn.serialization.verbatim import VERBATIM
from adjourn.state.call_records import CallRecord
from adjourn.tasks.enqueue import Enqueuer


@dataclass(kw_only=True, eq=False, repr=False)
class WaitingCalls:
    """Stores calls that wait, and creates their tasks when they are called."""

    enqueuer: Enqueuer

    def parked(self, call: Call, record: CallRecord) -> CallRecord:
        """Return the record of a call that waits, with the body of its next task."""
        waiting = self._waiting(call)
        body = waiting.encode(self.enqueuer.codec)
        body = sealed(self._adapters.sealer, body, waiting.resumed_name, waiting.queue)
        moved = record.at(waiting.resumed, self.next_task(call))
        begun = 0 if record.begun == call.attempt.number else record.begun
        return moved._replace(begun=begun, parked=body)

    def _waiting(self, call: Call) -> Envelope:
        envelope = call.envelope
        return envelope._replace(
            queue=call.delivery.queue or envelope.queue,
            resumed=envelope.resumed + 1,
            attempts=call.attempt.retry_count,
            executions=call.attempt.execution_count,
        )

    def next_task(self, call: Call) -> str:
        """Return the full name of the task that a call will have when it was called."""
        waiting = self._waiting(call)
        return self._adapters.queue.full_name(waiting.queue, waiting.resumed_name)

    def create_task(self, record: CallRecord, turn: dt.datetime | None = None) -> None:
        """Create the next task of a call that was called; again is harmless, by its name."""
        at = turn or self._adapters.clock.now()
        replace(self.enqueuer, codec=VERBATIM).resume(self._read(record), at)

    def _read(self, record: CallRecord) -> Envelope:
        body, sealer = record.parked, self._adapters.sealer
        if is_sealed(body) or (sealer is not None and sealer.is_required):
            if sealer is None:
                raise DecodeError("A call that waits is sealed, and there is no key.")
            place, _, name = record.task.rpartition("/tasks/")
            body = sealer.open(body, place.rpartition("/queues/")[2], name)
        return Envelope.decode(body, VERBATIM)

    def is_expired(self, record: CallRecord, transaction: Transaction) -> bool:
        """Whether a call that waits has expired; if so, its result says so with the commit."""
        try:
            envelope = self._read(record)
        except DecodeError:
            return False
        if envelope.batch:
            return False  # its batch must hear of its end, so it is delivered, and dropped then
        expires_at, now = envelope.expires_at, self._adapters.clock.now()
        if expires_at is None or now < expires_at or envelope.executions:
            return False
        event("task.expired", logging.WARNING, f"{envelope.task} has expired; it is dropped")
        if result := self.enqueuer.results().pending(envelope):
            result.dropped("it has expired")
            result.put(transaction)
        return True

    @property
    def _adapters(self) -> Adapters:
        return self.enqueuer.adapters
