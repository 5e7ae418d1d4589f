"""The transactions of the application, in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from adjourn.errors import DeclarationError
from adjourn.ports import Record, RecordKey
from adjourn.testing.entity_store import MemoryStore


class MemoryTransactions:
    """The transactions of a sandbox, whose writes take effect when a transaction commits.

    As with Google's client, a transaction is current in the thread that has begun it, and not in
    tasks.

    Args:
        store: Where the writes take effect.
    """

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        # With its thread, since a thread may run in a copy of the context of another.
        self._open: ContextVar[tuple[int, dict[RecordKey, Record] | None]] = ContextVar(
            "open", default=(0, None)
        )

    @contextmanager
    def begin(self) -> Iterator[object]:
        """Begin a transaction for a `with` block; it is rolled back if the block raises.

        A call that is made in the block runs only if the transaction commits. As in production, it
        runs a second later at the earliest: move the clock with `Sandbox.travel`.
        """
        before, transaction = self._open.get(), dict[RecordKey, Record]()
        self._open.set((threading.get_ident(), transaction))
        try:
            yield transaction
            self._store.put_many(transaction)
        finally:
            self._open.set(before)

    def current(self) -> object | None:
        """Return the innermost transaction that is open, None if none is."""
        thread, transaction = self._open.get()
        return transaction if thread == threading.get_ident() else None

    def get(self, transaction: object, key: RecordKey) -> Record | None:
        """Return a record of the store, which no other thread of a sandbox changes.

        Raises:
            DeclarationError: It is not a transaction of a sandbox.
        """
        if not isinstance(transaction, dict):
            raise DeclarationError(f"{transaction!r} is not a transaction of this sandbox.")
        return self._store.get([key])[0]

    def put(self, transaction: object, key: RecordKey, record: Record) -> None:
        """Write a record when the transaction commits.

        Raises:
            DeclarationError: It is not a transaction of a sandbox.
        """
        if not isinstance(transaction, dict):
            raise DeclarationError(f"{transaction!r} is not a transaction of this sandbox.")
        transaction[key] = record
