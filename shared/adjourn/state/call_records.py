"""Call records: where a call is that left its first task, and what it has spent there.

A plain call has none. A record is written for a call that is enqueued again as another task, that
is cancelled, or whose process may have died or may die unnoticed: it tells that an attempt has
begun, and that this attempt has ended. An attempt that began and never ended has crashed.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from adjourn.clock import Clock
from adjourn.names import CallIdentity
from adjourn.ports import EntityStore, Record, RecordKey, Transaction
from adjourn.state.owned_records import FINGERPRINT, is_own, owned, owned_of

KIND = "AdjournCall"
# A task lives 31 days after its start at most (https://cloud.google.com/tasks/docs/quotas).
KEPT = dt.timedelta(days=33)
# How long a task is retried whose name, type or key is unknown, as during a rolling deploy.
GRACE = dt.timedelta(hours=1)

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
        waits: Executions in which it only waited for another delivery of itself.
        waited_in: Number of the latest of them; 0 for none.
        parked: Body of its next task, which is created when a flow lets the call run; empty if it
            does not wait for that.
    """

    status: str = _OPEN
    task: str = ""
    resumed: int = 0
    begun: int = 0
    crashes: int = 0
    unknown_since: dt.datetime | None = None
    unknown_in: int = 0
    waits: int = 0
    waited_in: int = 0
    parked: bytes = b""

    @property
    def is_open(self) -> bool:
        """Whether the call may still run."""
        return self.status == _OPEN

    @property
    def is_cancelled(self) -> bool:
        """Whether the call was cancelled before it ended."""
        return self.status == _CANCELLED

    def at(self, resumed: int, task: str) -> "CallRecord":
        """Return the record of a call that is now carried by this task."""
        if resumed <= self.resumed:
            return self
        return self._replace(resumed=resumed, task=task, parked=b"")

    def ended(self) -> "CallRecord":
        """Return the record of a call that is over."""
        return self._replace(status=_ENDED, begun=0, parked=b"")

    def begins(self, number: int) -> "CallRecord":
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

    def get(self, call: CallIdentity) -> CallRecord | None:
        """Return the record of a call, None if it has none."""
        return _read(owned(self.store, KIND, call)[1])

    def begin(self, call: CallIdentity, number: int, *, resumed: int, task: str) -> CallRecord:
        """Note that an attempt begins, unless the call is over or has left this task.

        Args:
            call: The call.
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

    def end(self, call: CallIdentity, number: int, *, is_over: bool) -> None:
        """Note that an attempt has ended, and whether the call is over with it."""

        def change(record: CallRecord) -> CallRecord:
            if is_over and record.is_open:
                return record.ended()
            return record._replace(begun=0) if record.begun == number else record

        self._change(call, change)

    def move(
        self, call: CallIdentity, number: int, *, resumed: int, task: str, start: dt.datetime
    ) -> CallRecord:
        """Note that a call goes on as another task, and return its record after that.

        Args:
            call: The call.
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

    def cancel(self, call: CallIdentity, *, is_certain: bool) -> CallRecord | None:
        """Forbid a call to go on, and return its record as it was before.

        Args:
            call: The call.
            is_certain: Whether its first task was still there. Otherwise a call that is not known
                to have left it has ended.
        """

        def work(transaction: Transaction) -> CallRecord | None:
            key, before = own_record(transaction, call)
            if not is_certain and (before is None or not before.task):
                return None
            record = before or CallRecord()
            if record.is_open:
                cancelled = record._replace(status=_CANCELLED, parked=b"")
                put_record(transaction, key, call, cancelled, self.clock.now())
            return record

        return self.store.transact(work)

    def unknown(self, call: CallIdentity, execution: int) -> CallRecord:
        """Note that the task or an argument of a call is unknown, and return its record.

        `unknown_since` says since when, without a gap: an execution in between, in which it was
        known, begins the time anew.

        Args:
            call: The call.
            execution: The number of this execution.
        """

        def change(record: CallRecord) -> CallRecord:
            is_next = record.unknown_in in {execution - 1, execution}
            since = record.unknown_since if is_next else None
            return record._replace(unknown_since=since or self.clock.now(), unknown_in=execution)

        return self._change(call, change)

    def wait(self, call: CallIdentity, execution: int) -> None:
        """Note that an execution only waits for another delivery of its call.

        Args:
            call: The call.
            execution: The number of this execution. If its answer is lost, the next has the same.
        """

        def change(record: CallRecord) -> CallRecord:
            is_noted = record.waited_in == execution
            return record._replace(waits=record.waits + (not is_noted), waited_in=execution)

        self._change(call, change)

    def _change(
        self,
        call: CallIdentity,
        change: Callable[[CallRecord], CallRecord],
        start: dt.datetime | None = None,
    ) -> CallRecord:
        def work(transaction: Transaction) -> CallRecord:
            key, before = own_record(transaction, call)
            after, now = change(before or CallRecord()), self.clock.now()
            if after != before or start:
                put_record(transaction, key, call, after, max(start or now, now))
            return after

        return self.store.transact(work)


def renew(
    transaction: Transaction, call: CallIdentity, resumed: int, task: str, now: dt.datetime
) -> None:
    """Let a call begin anew as this task, whatever its record says; if it has none, it needs none.

    Args:
        transaction: The transaction.
        call: The call.
        resumed: How often it was enqueued again before this task.
        task: Full name of the task.
        now: The present.
    """
    key, before = own_record(transaction, call)
    if before is not None:
        put_record(transaction, key, call, CallRecord(resumed=resumed, task=task), now)


def cancelled(store: EntityStore, calls: Sequence[CallIdentity]) -> Iterator[CallIdentity]:
    """Yield those of some calls that were cancelled.

    Raises:
        StoreError: Datastore could not be reached.
    """
    records = store.get([RecordKey(KIND, call.id) for call in calls])
    for call, record in zip(calls, records, strict=True):
        if record is not None and is_own(record, call) and record["status"] == _CANCELLED:
            yield call


def own_record(transaction: Transaction, call: CallIdentity) -> tuple[RecordKey, CallRecord | None]:
    """Return the key of a call's record, and the record if it exists, as of a transaction."""
    key, record = owned(transaction, KIND, call)
    return key, _read(record)


def own_records(
    transaction: Transaction, calls: Sequence[CallIdentity], others: Sequence[RecordKey] = ()
) -> tuple[Mapping[CallIdentity, tuple[RecordKey, CallRecord | None]], Sequence[Record | None]]:
    """Return the records of calls with their keys, and other records, in one read."""
    found = transaction.get([*others, *(RecordKey(KIND, each.id) for each in calls)])
    named = zip(calls, found[len(others) :], strict=True)
    own = {each: owned_of(transaction, KIND, each, record) for each, record in named}
    return {each: (key, _read(record)) for each, (key, record) in own.items()}, found[: len(others)]


def put_record(
    transaction: Transaction,
    key: RecordKey,
    call: CallIdentity,
    record: CallRecord,
    start: dt.datetime,
) -> None:
    """Write the record of a call in a transaction.

    Args:
        transaction: The transaction.
        key: Key of the record.
        call: The call.
        record: The record.
        start: Start of the call's present task.
    """
    fields: Record = {**record._asdict(), FINGERPRINT: call.fingerprint}
    unindexed = tuple(fields)
    transaction.put(key, {**fields, "expires_at": start + KEPT}, unindexed=unindexed)


def _read(record: Mapping[str, Any] | None) -> CallRecord | None:
    if record is None:
        return None
    return CallRecord(**{name: record[name] for name in CallRecord._fields if name in record})
