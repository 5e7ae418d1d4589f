"""What is stored of a batch itself."""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

from adjourn.batches.children import Children
from adjourn.batches.place import State
from adjourn.names import digest_of
from adjourn.ports import Record, RecordKey, Transaction

KIND = "AdjournBatch"
# After the latest start of a child. The records must outlive all tasks, and be there for a retry.
KEPT = dt.timedelta(days=400)


class BatchRecord(NamedTuple):
    """The record of a batch.

    Attributes:
        id: A digest.
        name: The name that it was given; "" for none.
        created_at: When its first children were registered.
        expires_at: When it may be removed.
        parent: Place of a nested batch in the outer one; "" for none.
        children: Its shards.
        is_sealed: Whether its block has ended, so that only its own children may add some.
        cancelled_at: Since when children that have not begun are not to run; None if they are.
        cancels_rest: Whether the first failure cancels it.
        on_done: The call of its end, without the summary; b"" for none.
        on_failed: The call of its first failure, likewise.
        queue: Short name of the queue of the tasks that look after it.
        round: How often it went on after its end, because failed children were retried.
        failed_by: Key of the first child that has failed in this round, in hexadecimal.
        sealed_at: When its block ended.
        ended_at: When the last child of this round ended.
    """

    id: str
    name: str
    created_at: dt.datetime
    expires_at: dt.datetime
    parent: str = ""
    children: Children = Children()
    is_sealed: bool = False
    cancelled_at: dt.datetime | None = None
    cancels_rest: bool = False
    on_done: bytes = b""
    on_failed: bytes = b""
    queue: str = ""
    round: int = 0
    failed_by: str = ""
    sealed_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None

    @property
    def is_cancelled(self) -> bool:
        """Whether children that have not begun are not to run."""
        return self.cancelled_at is not None

    @property
    def is_over(self) -> bool:
        """Whether all children have ended and no more can come."""
        return self.is_sealed and self.children.is_over

    @property
    def status(self) -> str:
        """One of open, running, cancelling, done, failed and cancelled."""
        if self.ended_at is None:
            if self.is_cancelled:
                return "cancelling"
            return "running" if self.is_sealed else "open"
        return _STATUSES[self.end]

    @property
    def end(self) -> State:
        """What its end is for the batch in which it is nested."""
        if self.children.counts.failed:
            return State.FAILED
        return State.CANCELLED if self.is_cancelled else State.DONE

    def settled(self, now: dt.datetime) -> BatchRecord:
        """Return it with the time of its end, if it has come to that."""
        return self._replace(ended_at=now) if self.is_over and self.ended_at is None else self

    def sealed(self, now: dt.datetime, outer: str) -> BatchRecord:
        """Return it when its block has ended, with its place in an outer batch."""
        return self._replace(is_sealed=True, sealed_at=self.sealed_at or now, parent=outer)

    def cancelled(self, now: dt.datetime) -> BatchRecord:
        """Return it as cancelled, which also seals it; itself if it has ended."""
        if self.ended_at is not None:
            return self
        return self._replace(
            cancelled_at=self.cancelled_at or now,
            is_sealed=True,
            sealed_at=self.sealed_at or now,
        )

    def reopened(self) -> BatchRecord:
        """Return it going on after its end."""
        if self.ended_at is None:
            return self._replace(cancelled_at=None, failed_by="")
        return self._replace(round=self.round + 1, ended_at=None, failed_by="", cancelled_at=None)

    @classmethod
    def of(cls, batch: str, record: Record | None) -> BatchRecord | None:
        """Return the batch of a record; None if there is no record."""
        if record is None:
            return None
        fields: dict[str, Any] = {k: v for k, v in record.items() if k in cls._fields}
        return cls(**{**fields, "id": batch, "children": Children.of(record)})

    def record(self) -> Record:
        """Return what is stored."""
        fields: dict[str, Any] = self._asdict()
        del fields["id"]
        return {**fields, **self.children.fields()}

    def put(self, transaction: Transaction) -> None:
        """Write it when a transaction commits."""
        record = self.record()
        unindexed = record.keys() - {"created_at", "expires_at"}
        transaction.put(batch_key(self.id), record, unindexed=unindexed)


_STATUSES = {State.DONE: "done", State.FAILED: "failed", State.CANCELLED: "cancelled"}


def batch_key(batch: str) -> RecordKey:
    """Return the key of a batch's entity."""
    return RecordKey(KIND, batch)


def batch_id(name: str, outer: str = "") -> str:
    """Return the id of a batch with a name, or of one in an outer batch."""
    return digest_of("batch", outer, name)
