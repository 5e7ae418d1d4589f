"""What a transaction has read and written, so that the next one need not read it again.

A call that ends soon after it began mostly finds its key as it left it. Then its end is one write
that holds only if the record still has that version, without a read before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from adjourn.ports import Record, RecordKey, Transaction, Versioned


class Remembered(NamedTuple):
    """Records as they were after a transaction.

    Attributes:
        records: The records.
        version: Version of the one that was written.
    """

    records: Mapping[RecordKey, Record | None]
    version: int


class NotRememberedError(Exception):
    """Something is asked for that is not remembered."""


class NotedTransaction:
    """A transaction that notes what is read and written in it.

    Attributes:
        records: What was read or written.
    """

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self.records: dict[RecordKey, Record | None] = {}

    @property
    def written(self) -> Mapping[RecordKey, int]:
        """The versions of what was written; once it is committed."""
        return self._transaction.written

    def get(self, keys: Sequence[RecordKey]) -> list[Record | None]:
        """Read and note records."""
        found = self._transaction.get(keys)
        self.records.update(zip(keys, found, strict=True))
        return found

    def read(self, keys: Sequence[RecordKey]) -> list[Versioned | None]:
        """Read records without a note."""
        return self._transaction.read(keys)

    def put(self, key: RecordKey, record: Record, *, unindexed: Collection[str] = ()) -> None:
        """Write and note a record."""
        self.records[key] = record
        self._transaction.put(key, record, unindexed=unindexed)

    def delete(self, key: RecordKey) -> None:
        """Delete a record."""
        self.records[key] = None
        self._transaction.delete(key)


class RememberedTransaction:
    """Reads what is remembered, and keeps what is to be written.

    Attributes:
        puts: What is to be written.
    """

    written: Mapping[RecordKey, int] = {}

    def __init__(self, remembered: Remembered) -> None:
        self._records = remembered.records
        self.puts: dict[RecordKey, Record] = {}

    def get(self, keys: Sequence[RecordKey]) -> list[Record | None]:
        """Return remembered records.

        Raises:
            NotRememberedError: One of them is not remembered.
        """
        if any(key not in self._records for key in keys):
            raise NotRememberedError
        return [self._records[key] for key in keys]

    def read(self, keys: Sequence[RecordKey]) -> list[Versioned | None]:  # noqa: ARG002 - the port
        """Raise NotRememberedError: the versions are not."""
        raise NotRememberedError

    def put(self, key: RecordKey, record: Record, *, unindexed: Collection[str] = ()) -> None:  # noqa: ARG002
        """Keep a record that is to be written."""
        self.puts[key] = record

    def delete(self, key: RecordKey) -> None:  # noqa: ARG002 - the port
        """Raise NotRememberedError: a deletion takes a transaction."""
        raise NotRememberedError
