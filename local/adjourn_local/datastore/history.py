"""Reads of the past: what has changed since then is undone, read, and done again.

The changes of the last hour are remembered in memory: a server that has just started knows no past.
"""

from collections import deque
from collections.abc import Iterable
from typing import Any

import grpc

from adjourn_local.datastore import keys
from adjourn_local.datastore.entity_records import Change, EntityRecord
from adjourn_local.datastore.entity_store import EntityStore
from adjourn_local.datastore.keys import Partition
from adjourn_local.datastore.messages import Entity, invalid
from adjourn_local.http.rpc import RpcError
from adjourn_local.timing.timestamps import SECOND, read

# TransactionOptions.ReadOnly.read_time: within the past hour.
_KEPT = 3600 * SECOND
# So that an hour of large writes does not fill the memory; what an entry costs beside its entity.
_MAX_BYTES = 32 << 20
_ENTRY_BYTES = 250


class History:
    """What the entities were before each change of the last hour."""

    def __init__(self, store: EntityStore) -> None:
        self._store = store
        self._changes: deque[tuple[int, bytes, EntityRecord | None]] = deque()
        self._size = 0
        self._horizon = store.version

    def note(self, changes: Iterable[Change], now: int) -> None:
        """Remember what the entities of one commit were before it.

        By the clock, not by its version, which is ahead of the clock if commits follow so closely.
        """
        for change in changes:
            self._changes.append((now, change.key, change.old))
            self._size += _size(change.old)
        while self._changes and (self._changes[0][0] < now - _KEPT or self._size > _MAX_BYTES):
            self._horizon, _, old = self._changes.popleft()
            self._size -= _size(old)

    def moment(self, timestamp: Any, now: int) -> int:
        """Return a `read_time` in microseconds.

        Raises:
            RpcError: It lies in the future, is too exact, or nobody knows any more.
        """
        if timestamp.nanos % 1000:
            raise invalid("timestamp cannot have more than microseconds precision")
        moment = read(timestamp)
        if moment > max(now, self._store.version):
            raise invalid("The requested 'read_time' cannot be in the future.")
        if moment < max(now - _KEPT, self._horizon):
            raise RpcError(
                grpc.StatusCode.FAILED_PRECONDITION,
                "The requested snapshot version is too old: the laptop stack remembers one hour,"
                f" {_MAX_BYTES >> 20} MB of changed entities and nothing from before its start.",
            )
        return moment

    def changes_back_to(self, moment: int) -> list[Change]:
        """Return what makes the present entities those of a moment."""
        then: dict[bytes, EntityRecord | None] = {}
        for changed, key, old in reversed(self._changes):
            if changed <= moment:
                break
            then[key] = old
        return [self._change(key, old) for key, old in then.items()]

    def _change(self, key: bytes, old: EntityRecord | None) -> Change:
        present = self._store.get(self._store.present(), key)
        return Change(
            key,
            present,
            old,
            gone=self._rows(present),
            come=self._rows(old),
        )

    def _rows(self, record: EntityRecord | None) -> dict[bytes, bool]:
        if record is None:
            return {}
        entity = Entity.FromString(record.body)
        part, path = entity.key.partition_id, entity.key.path
        partition = Partition(part.project_id, part.database_id, part.namespace_id)
        return self._store.stored_rows(
            partition, path[-1].kind, keys.encode_path(path), record.body
        )


def _size(old: EntityRecord | None) -> int:
    return _ENTRY_BYTES + (len(old.body) if old else 0)
