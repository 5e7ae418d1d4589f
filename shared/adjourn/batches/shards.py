"""What is stored of the children of batches: many of them in one entity."""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

from adjourn.batches.children import Children
from adjourn.ports import Record, RecordKey, Transaction

KIND = "AdjournBatchShard"


class Shard(NamedTuple):
    """Children of a batch whose ends are marked in one entity.

    Attributes:
        name: A digest, which is also its key in the parent.
        batch: Id of the batch.
        parent: Name of the shard in which this one is registered; "" for the batch itself.
        scope: Key of the child that has added these, in hexadecimal; "" for the block.
        queues: Short names of the queues of the calls among them, separated by spaces.
        children: The children.
        expires_at: When it may be removed.
    """

    name: str
    batch: str
    parent: str
    scope: str
    children: Children
    expires_at: dt.datetime
    queues: str = ""

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
            children=Children.of(fields),
            expires_at=fields["expires_at"],
            queues=fields.get("queues", ""),
        )

    def record(self) -> Record:
        """Return what is stored."""
        return {
            "batch": self.batch,
            "parent": self.parent,
            "scope": self.scope,
            **self.children.fields(),
            "queues": self.queues,
            "expires_at": self.expires_at,
        }

    def put(self, transaction: Transaction) -> None:
        """Write it when a transaction commits."""
        record = self.record()
        transaction.put(shard_key(self.name), record, unindexed=record.keys() - {"expires_at"})


def shard_key(shard: str) -> RecordKey:
    """Return the key of a shard's entity."""
    return RecordKey(KIND, shard)
