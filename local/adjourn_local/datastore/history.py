"""Reads at an earlier time: later changes are undone for the read, and then redone.

The changes of the last hour are kept in memory, so the history begins with the start of the server.
"""

from collections import deque
from collections.abc import Iterable
from typing import Any

import grpc

from adjourn_local.datastore import keys
from adjourn_local.datastore.entity_records import Change, EntityRecord
from adjourn_local.datastore.entity_tables import EntityTables
from adjourn_local.datastore.keys import Partition
from adjourn_local.datastore.messages import Entity, invalid
from adjourn_local.http.rpc import RpcError
from adjourn_local.timing.timestamps import SECOND, read

# TransactionOptions.ReadOnly.read_time: within the past hour.
_KEPT = 3600 * SECOND
# Bounds the memory for an hour of large writes; an entry has an overhead beside its entity.
_MAX_BYTES = 32 << 20
_ENTRY_BYTES = 250


class History:
    """The previous states of the entities that were changed in the last hour."""

    def __init__(self, store: EntityTables) -> None:
        self._store = store
        self._changes: deque[tuple[int, bytes, EntityRecord | None]] = deque()
        self._size = 0
        self._horizon = store.version

    def forget(self) -> None:
        """Forget all changes, of a store that was reset."""
        self._changes.clear()
        self._size = 0
        self._horizon = self._store.version

    def note(self, changes: Iterable[Change], now: int) -> None:
        """Add the previous states of the entities of one commit.

        Entries have the time of the clock, not the version: versions are ahead of the clock if
        commits follow each other within a microsecond.
        """
        for change in changes:
            self._changes.append((now, change.key, change.old))
            self._size += _size(change.old)
        while self._changes and (self._changes[0][0] < now - _KEPT or self._size > _MAX_BYTES):
            self._horizon, _, old = self._changes.popleft()
            self._size -= _size(old)

    def parse_read_time(self, timestamp: Any, now: int) -> int:
        """Convert a `read_time` to microseconds.

        Raises:
            RpcError: It is in the future, too precise, or before the history begins.
        """
        if timestamp.nanos % 1000:
            raise invalid("timestamp cannot have more than microseconds precision")
        read_time = read(timestamp)
        if read_time > max(now, self._store.version):
            raise invalid("The requested 'read_time' cannot be in the future.")
        if read_time < max(now - _KEPT, self._horizon):
            raise RpcError(
                grpc.StatusCode.FAILED_PRECONDITION,
                "The requested snapshot version is too old: the laptop stack keeps one hour,"
                f" {_MAX_BYTES >> 20} MB of changed entities and nothing from before its start.",
            )
        return read_time

    def changes_back_to(self, read_time: int) -> list[Change]:
        """Return the changes that turn the current entities into those at a time."""
        then: dict[bytes, EntityRecord | None] = {}
        for changed, key, old in reversed(self._changes):
            if changed <= read_time:
                break
            then[key] = old
        return [self._change(key, old) for key, old in then.items()]

    def _change(self, key: bytes, old: EntityRecord | None) -> Change:
        present = self._store.present().get(key)
        return Change(
            key,
            present,
            old,
            removed_rows=self._rows(present),
            added_rows=self._rows(old),
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
