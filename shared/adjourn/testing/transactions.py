"""The transactions of users, in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from adjourn.errors import DeclarationError
from adjourn.ports import Record, RecordKey
from adjourn.testing.store import MemoryStore


class MemoryTransactions:
    """The transactions of a sandbox: what is put in one is written when it ends well."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._open: list[dict[RecordKey, Record]] = []

    @contextmanager
    def begin(self) -> Iterator[object]:
        """Open a transaction; it is rolled back if the block raises."""
        transaction: dict[RecordKey, Record] = {}
        self._open.append(transaction)
        try:
            yield transaction
            self._store.put_many(transaction)
        finally:
            self._open.pop()

    def current(self) -> object | None:
        """Return the innermost transaction that is open."""
        return self._open[-1] if self._open else None

    def get(self, transaction: object, key: RecordKey) -> Record | None:
        """Return a record as it is, which nobody changes within a sandbox's thread."""
        if not isinstance(transaction, dict):
            raise DeclarationError(f"{transaction!r} is not a transaction of this sandbox.")
        return self._store.get([key])[0]

    def put(self, transaction: object, key: RecordKey, record: Record) -> None:
        """Keep a record for when the transaction ends."""
        if not isinstance(transaction, dict):
            raise DeclarationError(f"{transaction!r} is not a transaction of this sandbox.")
        transaction[key] = record
