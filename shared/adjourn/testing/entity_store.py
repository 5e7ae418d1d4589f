"""The entity store in memory: our own records."""

from __future__ import annotations

import copy
import datetime as dt
import itertools
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TypeVar

from adjourn.errors import ConflictError
from adjourn.ports import Record, RecordKey, Transaction, Value, Versioned

T = TypeVar("T")

_ATTEMPTS = 6


class MemoryStore:
    """The entity store in memory; a transaction is retried if what it read has changed.

    Attributes:
        records: Versions and records by key. What the application itself writes is not among them.
    """

    def __init__(self) -> None:
        self._versions = itertools.count(1)
        self._lock = threading.RLock()
        self.records: dict[RecordKey, tuple[int, Record]] = {}

    def get(self, keys: Sequence[RecordKey]) -> list[Record | None]:
        """Return copies of the records."""
        return [found.record if found else None for found in self.read(keys)]

    def read(self, keys: Sequence[RecordKey]) -> list[Versioned | None]:
        """Return copies of the records, with their versions."""
        return [_copy(self.records.get(key)) for key in keys]

    def put(self, key: RecordKey, record: Record, *, unindexed: Collection[str] = ()) -> None:  # noqa: ARG002
        """Store a copy of the record."""
        self.commit({key: record})

    def replace(
        self,
        key: RecordKey,
        record: Record,
        *,
        version: int,
        unindexed: Collection[str] = (),  # noqa: ARG002
    ) -> int:
        """Store a copy of the record if the stored one has this version; return the new version.

        Raises:
            ConflictError: The stored record has another version, or does not exist.
        """
        with self._lock:
            if self._version(key) != version:
                raise ConflictError(f"{key.kind} {key.name} has another version than {version}.")
            self.commit({key: record})
            return self._version(key)

    def put_many(
        self,
        records: Mapping[RecordKey, Record],
        *,
        unindexed: Collection[str] = (),  # noqa: ARG002
    ) -> None:
        """Store copies of the records."""
        self.commit(records)

    def delete_many(self, keys: Sequence[RecordKey]) -> None:
        """Delete records."""
        self.commit(dict.fromkeys(keys))

    def query(
        self,
        kind: str,
        *,
        by: str,
        since: dt.datetime | None = None,
        before: dt.datetime | None = None,
    ) -> Iterator[tuple[str, Record]]:
        """Yield copies of the present records, the latest first."""
        found = [
            (at, key.name, copy.deepcopy(record))
            for key, (_, record) in list(self.records.items())
            if key.kind == kind
            and isinstance(at := record.get(by), dt.datetime)
            and (since is None or at >= since)
            and (before is None or at < before)
        ]
        found.sort(key=lambda each: each[:2], reverse=True)
        return ((name, record) for _, name, record in found)

    def by_name(self, kind: str, *, prefix: str) -> Iterator[tuple[str, Record]]:
        """Yield copies of the present records, by name."""
        found = [
            (key.name, copy.deepcopy(record))
            for key, (_, record) in list(self.records.items())
            if key.kind == kind and key.name.startswith(prefix)
        ]
        return iter(sorted(found, key=lambda each: each[0]))

    def names(self, kind: str, *, by: str, before: dt.datetime, limit: int) -> Sequence[str]:
        """Return names, those with the earliest times first."""
        found = [
            (at, key.name)
            for key, (_, record) in list(self.records.items())
            if key.kind == kind and isinstance(at := record.get(by), dt.datetime) and at < before
        ]
        return [name for _, name in sorted(found)[:limit]]

    def transact(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a transaction; retry it if something that it read has changed.

        Raises:
            ConflictError: That was so in six attempts.
        """
        for _ in range(_ATTEMPTS):
            transaction = _MemoryTransaction(dict(self.records))
            result = work(transaction)
            with self._lock:
                if all(self._version(key) == seen for key, seen in transaction.seen.items()):
                    self.commit(transaction.writes)
                    puts = [key for key, record in transaction.writes.items() if record is not None]
                    transaction.written = {key: self._version(key) for key in puts}
                    return result
        raise ConflictError(f"Contention: gave up after {_ATTEMPTS} attempts.")

    def commit(self, changes: Mapping[RecordKey, Record | None]) -> None:
        """Store copies of records, with their times in UTC, and delete those that are None.

        Every write calls this. A record that equals the stored one keeps its version.
        """
        with self._lock:
            for key, record in changes.items():
                if record is None:
                    self.records.pop(key, None)
                    continue
                stored = {name: _in_utc(copy.deepcopy(value)) for name, value in record.items()}
                if self.records.get(key, (0, None))[1] != stored:
                    self.records[key] = (next(self._versions), stored)

    def _version(self, key: RecordKey) -> int:
        return self.records.get(key, (0, None))[0]


def _in_utc(value: Value) -> Value:
    return value.astimezone(dt.UTC) if isinstance(value, dt.datetime) else value


def _copy(stored: tuple[int, Record] | None) -> Versioned | None:
    return Versioned(copy.deepcopy(stored[1]), stored[0]) if stored else None


class _MemoryTransaction:
    def __init__(self, snapshot: Mapping[RecordKey, tuple[int, Record]]) -> None:
        self._snapshot = snapshot
        self.seen: dict[RecordKey, int] = {}
        self.writes: dict[RecordKey, Record | None] = {}
        self.written: Mapping[RecordKey, int] = {}

    def get(self, keys: Sequence[RecordKey]) -> list[Record | None]:
        return [found.record if found else None for found in self.read(keys)]

    def read(self, keys: Sequence[RecordKey]) -> list[Versioned | None]:
        found = [_copy(self._snapshot.get(key)) for key in keys]
        for key, each in zip(keys, found, strict=True):
            self.seen[key] = each.version if each else 0
        return found

    def put(self, key: RecordKey, record: Record, *, unindexed: Collection[str] = ()) -> None:  # noqa: ARG002
        self.writes[key] = record

    def delete(self, key: RecordKey) -> None:
        self.writes[key] = None
