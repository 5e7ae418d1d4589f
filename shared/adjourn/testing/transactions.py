"""The transactions of users, in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from adjourn.errors import DeclarationError
from adjourn.ports import Record, RecordKey
from adjourn.testing.store import MemoryStore


class MemoryTransactions:
    """The transactions of a sandbox: what is put in one is written when it ends well.

    As those of Google's client, they count in the thread that has opened them, and not in tasks.

    Args:
        store: Where it is written.
    """

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._open: ContextVar[dict[RecordKey, Record] | None] = ContextVar("open", default=None)

    @contextmanager
    def begin(self) -> Iterator[object]:
        """Open a transaction, for a `with` block; it is rolled back if that raises.

        A call that is made in the block runs if it is committed, and only then: a second later at
        the soonest, as in production, so `Sandbox.travel` on.
        """
        before, transaction = self._open.get(), dict[RecordKey, Record]()
        self._open.set(transaction)
        try:
            yield transaction
            self._store.put_many(transaction)
        finally:
            self._open.set(before)

    def current(self) -> object | None:
        """Return the innermost transaction that is open, None if none is."""
        return self._open.get()

    def get(self, transaction: object, key: RecordKey) -> Record | None:
        """Return a record as it is, which nobody changes within a sandbox's thread.

        Raises:
            DeclarationError: It is no transaction of a sandbox.
        """
        if not isinstance(transaction, dict):
            raise DeclarationError(f"{transaction!r} is not a transaction of this sandbox.")
        return self._store.get([key])[0]

    def put(self, transaction: object, key: RecordKey, record: Record) -> None:
        """Keep a record for when the transaction ends.

        Raises:
            DeclarationError: It is no transaction of a sandbox.
        """
        if not isinstance(transaction, dict):
            raise DeclarationError(f"{transaction!r} is not a transaction of this sandbox.")
        transaction[key] = record
