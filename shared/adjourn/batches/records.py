"""What is stored of batches: the batch itself, and the shards of its children."""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

from adjourn.batches.children import Children, Counts
from adjourn.batches.place import State
from adjourn.names import digest_of
from adjourn.ports import Record, RecordKey, Transaction

KIND = "AdjournBatch"
SHARD_KIND = "AdjournBatchShard"
# After the latest start of a child. The records must outlive all tasks, and be there for a retry.
KEPT = dt.timedelta(days=400)

_UNINDEXED_SHARD = (
    "batch", "parent", "scope", "children", "kinds", "states", "done", "failed", "cancelled",
)  # fmt: skip


class Shard(NamedTuple):
    """Children of a batch whose ends are marked in one entity.

    Attributes:
        name: A digest, which is also its key in the parent.
        batch: Id of the batch.
        parent: Name of the shard in which this one is registered; "" for the batch itself.
        scope: Key of the child that has added these, in hexadecimal; "" for the block.
        children: The children.
        expires_at: When it may be removed.
    """

    name: str
    batch: str
    parent: str
    scope: str
    children: Children
    expires_at: dt.datetime

    @property
    def key(self) -> bytes:
        """The key in the parent."""
        return bytes.fromhex(self.name)

    @classmethod
    def of(cls, name: str, record: Record | None) -> Shard | None:
        """Return the shard of a record; None if there is no record."""
        if record is None:
            return None
        fields: dict[str, Any] = dict(record)
        return cls(
            name=name,
            batch=fields["batch"],
            parent=fields["parent"],
            scope=fields["scope"],
            children=_children(fields),
            expires_at=fields["expires_at"],
        )

    def record(self) -> Record:
        """Return what is stored."""
        return {
            "batch": self.batch,
            "parent": self.parent,
            "scope": self.scope,
            **_fields(self.children),
            "expires_at": self.expires_at,
        }

    def put(self, transaction: Transaction) -> None:
        """Write it when a transaction commits."""
        transaction.put(shard_key(self.name), self.record(), unindexed=_UNINDEXED_SHARD)


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
        is_cancelled: Whether children that have not begun are not to run.
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
    is_cancelled: bool = False
    cancels_rest: bool = False
    on_done: bytes = b""
    on_failed: bytes = b""
    queue: str = ""
    round: int = 0
    failed_by: str = ""
    sealed_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None

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

    def cancelled(self, now: dt.datetime) -> BatchRecord:
        """Return it as cancelled, which also seals it; itself if it has ended."""
        if self.ended_at is not None:
            return self
        sealed_at = self.sealed_at or now
        return self._replace(is_cancelled=True, is_sealed=True, sealed_at=sealed_at)

    def reopened(self) -> BatchRecord:
        """Return it going on after its end."""
        if self.ended_at is None:
            return self._replace(is_cancelled=False, failed_by="")
        return self._replace(round=self.round + 1, ended_at=None, failed_by="", is_cancelled=False)

    @classmethod
    def of(cls, batch: str, record: Record | None) -> BatchRecord | None:
        """Return the batch of a record; None if there is no record."""
        if record is None:
            return None
        fields: dict[str, Any] = {k: v for k, v in record.items() if k in cls._fields}
        return cls(**{**fields, "id": batch, "children": _children(dict(record))})

    def record(self) -> Record:
        """Return what is stored."""
        fields: dict[str, Any] = self._asdict()
        del fields["id"]
        return {**fields, **_fields(self.children)}

    def put(self, transaction: Transaction) -> None:
        """Write it when a transaction commits."""
        record = self.record()
        unindexed = record.keys() - {"created_at", "expires_at"}
        transaction.put(batch_key(self.id), record, unindexed=unindexed)


_STATUSES = {State.DONE: "done", State.FAILED: "failed", State.CANCELLED: "cancelled"}


def batch_key(batch: str) -> RecordKey:
    """Return the key of a batch's entity."""
    return RecordKey(KIND, batch)


def shard_key(shard: str) -> RecordKey:
    """Return the key of a shard's entity."""
    return RecordKey(SHARD_KIND, shard)


def batch_id(name: str, outer: str = "") -> str:
    """Return the id of a batch with a name, or of one in an outer batch."""
    return digest_of("batch", outer, name)


def _fields(children: Children) -> dict[str, Any]:
    return {
        "children": children.keys,
        "kinds": children.kinds,
        "states": children.states,
        **children.counts._asdict(),
    }


def _children(fields: dict[str, Any]) -> Children:
    counts = Counts(fields["done"], fields["failed"], fields["cancelled"])
    return Children(fields["children"], fields["kinds"], fields["states"], counts)
