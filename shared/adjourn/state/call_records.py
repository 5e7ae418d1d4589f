"""Call records: where a call is that left its first task, and what it has spent there.

A plain call has none. A record is written for a call that is enqueued again as another task, that
is cancelled, or whose process may have died or may die unnoticed: it tells that an attempt has
begun, and that this attempt has ended. An attempt that began and never ended has crashed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from adjourn.clock import Clock
from adjourn.ports import EntityStore, Record, RecordKey, Transaction

KIND = "AdjournCall"
# A task lives 31 days after its start at most (https://cloud.google.com/tasks/docs/quotas).
KEPT = dt.timedelta(days=33)

_OPEN = "open"
_ENDED = "ended"  # done, given up or dropped
_CANCELLED = "cancelled"


class CallRecord(NamedTuple):
    """The record of a call.

    Attributes:
        status: "open", "ended" or "cancelled".
        task: Full name of its present task in Cloud Tasks; empty for the first one.
        resumed: How often it was enqueued again before that task.
        begun: Number of the attempt that has begun and not ended; 0 for none.
        crashes: Attempts that began and never ended.
        unknown_since: When its task or a type of its arguments was first found to be unknown.
        unknown_in: Number of the latest execution in which it was; 0 for none.
    """

    status: str = _OPEN
    task: str = ""
    resumed: int = 0
    begun: int = 0
    crashes: int = 0
    unknown_since: dt.datetime | None = None
    unknown_in: int = 0

    @property
    def is_open(self) -> bool:
        """Whether the call may still run."""
        return self.status == _OPEN

    @property
    def is_cancelled(self) -> bool:
        """Whether the call was cancelled before it ended."""
        return self.status == _CANCELLED

    def at(self, resumed: int, task: str) -> CallRecord:
        """Return the record of a call that is now carried by this task."""
        return self._replace(resumed=resumed, task=task) if resumed > self.resumed else self

    def begins(self, number: int) -> CallRecord:
        """Return the record when an attempt begins; an earlier one without end has crashed.

        An attempt of the same number is another delivery of the same attempt.
        """
        has_crashed = 0 < self.begun < number
        return self._replace(
            begun=max(number, self.begun), crashes=self.crashes + has_crashed, unknown_in=0
        )


@dataclass(kw_only=True, eq=False, repr=False)
class CallRecords:
    """The records of calls, of the kind `AdjournCall`.

    `expires_at` is meant for a TTL policy. Every method raises StoreError if Datastore could not
    be reached.
    """

    store: EntityStore
    clock: Clock

    def get(self, call: str) -> CallRecord | None:
        """Return the record of a call, None if it has none."""
        return _read(self.store.get([_key(call)])[0])

    def begin(self, call: str, number: int, *, resumed: int, task: str) -> CallRecord:
        """Note that an attempt begins, unless the call is over or has left this task.

        Args:
            call: The id of the call.
            number: Number of the attempt.
            resumed: How often the call was enqueued again before this task.
            task: Full name of the task.

        Returns:
            The record after that. If it is not open, or was resumed more often, the attempt must
            not run.
        """

        def change(record: CallRecord) -> CallRecord:
            is_ours = record.is_open and record.resumed <= resumed
            return record.at(resumed, task).begins(number) if is_ours else record

        return self._change(call, change)

    def end(self, call: str, number: int, *, is_over: bool) -> None:
        """Note that an attempt has ended, and whether the call is over with it."""

        def change(record: CallRecord) -> CallRecord:
            if is_over and record.is_open:
                return record._replace(status=_ENDED, begun=0)
            return record._replace(begun=0) if record.begun == number else record

        self._change(call, change)

    def move(
        self, call: str, number: int, *, resumed: int, task: str, start: dt.datetime
    ) -> CallRecord:
        """Note that a call goes on as another task, and return its record after that.

        Args:
            call: The id of the call.
            number: Number of the attempt that ends with this; 0 for none.
            resumed: How often the call was enqueued again, this time included.
            task: Full name of the new task.
            start: When it starts.

        Returns:
            The record. If it is cancelled, or was resumed more often, the task must not exist.
        """

        def change(record: CallRecord) -> CallRecord:
            moved = record.at(resumed, task)
            return moved._replace(begun=0) if record.begun == number else moved

        return self._change(call, change, start)

    def cancel(self, call: str, *, is_certain: bool) -> CallRecord | None:
        """Forbid a call to go on, and return its record as it was before.

        Args:
            call: The id of the call.
            is_certain: Whether it is known not to have ended; otherwise a call without a record
                has, and gets none.
        """

        def work(transaction: Transaction) -> CallRecord | None:
            before = _read(transaction.get([_key(call)])[0])
            if before is None and not is_certain:
                return None
            record = before or CallRecord()
            if record.is_open:
                self._put(transaction, call, record._replace(status=_CANCELLED), None)
            return record

        return self.store.transact(work)

    def unknown(self, call: str, execution: int) -> CallRecord:
        """Note that the task or an argument of a call is unknown, and return its record.

        `unknown_since` says since when, without a gap: an execution in between, in which it was
        known, begins the time anew.

        Args:
            call: The id of the call.
            execution: The number of this execution.
        """

        def change(record: CallRecord) -> CallRecord:
            is_next = record.unknown_in in {execution - 1, execution}
            since = record.unknown_since if is_next else None
            return record._replace(unknown_since=since or self.clock.now(), unknown_in=execution)

        return self._change(call, change)

    def _change(
        self,
        call: str,
        change: Callable[[CallRecord], CallRecord],
        start: dt.datetime | None = None,
    ) -> CallRecord:
        def work(transaction: Transaction) -> CallRecord:
            before = _read(transaction.get([_key(call)])[0])
            after = change(before or CallRecord())
            if after != before or start:
                self._put(transaction, call, after, start)
            return after

        return self.store.transact(work)

    def _put(
        self, transaction: Transaction, call: str, record: CallRecord, start: dt.datetime | None
    ) -> None:
        now = self.clock.now()
        content: Record = {**record._asdict(), "expires_at": max(start or now, now) + KEPT}
        transaction.put(_key(call), content, unindexed=CallRecord._fields)


def renew(transaction: Transaction, call: str, resumed: int, task: str, now: dt.datetime) -> None:
    """Let a call begin anew as this task, whatever its record says; if it has none, it needs none.

    Args:
        transaction: The transaction.
        call: The id of the call.
        resumed: How often it was enqueued again before this task.
        task: Full name of the task.
        now: The present.
    """
    if transaction.get([_key(call)])[0] is not None:
        record = CallRecord(resumed=resumed, task=task)
        content: Record = {**record._asdict(), "expires_at": now + KEPT}
        transaction.put(_key(call), content, unindexed=CallRecord._fields)


def _key(call: str) -> RecordKey:
    return RecordKey(KIND, call)


def _read(record: Mapping[str, Any] | None) -> CallRecord | None:
    if record is None:
        return None
    return CallRecord(**{name: record[name] for name in CallRecord._fields if name in record})
