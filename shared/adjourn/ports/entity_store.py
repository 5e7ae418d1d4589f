"""The port for Datastore as the store of our own records."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

T = TypeVar("T")


class RecordKey(NamedTuple):
    """The key of one of our own entities."""

    kind: str
    name: str


Value = None | bool | int | float | str | bytes | dt.datetime
Record = Mapping[str, Value]


class Versioned(NamedTuple):
    """A record with its version, a number that every change of the record raises.

    Writing a record equal to the stored one changes nothing and keeps the version.
    """

    record: Record
    version: int


class Transaction(Protocol):
    """Reads and writes in one transaction: all of them take effect, or none."""

    @property
    def written(self) -> Mapping[RecordKey, int]:
        """The versions of the records that were put; empty until the transaction is committed."""

    def get(self, keys: Sequence[RecordKey]) -> list[Record | None]:
        """Return the records as they were when the transaction began, None where missing."""

    def read(self, keys: Sequence[RecordKey]) -> list[Versioned | None]:
        """Return the records with their versions, as `get` does."""

    def put(self, key: RecordKey, record: Record, *, unindexed: Collection[str] = ()) -> None:
        """Write a record when the transaction commits."""

    def delete(self, key: RecordKey) -> None:
        """Delete a record, if it exists, when the transaction commits."""


class EntityStore(Protocol):
    """What adjourn needs of Datastore for its own records."""

    def get(self, keys: Sequence[RecordKey]) -> list[Record | None]:
        """Return the records in the order of their keys, None where missing.

        Raises:
            StoreError: Datastore could not be reached or refused.
        """

    def put(self, key: RecordKey, record: Record, *, unindexed: Collection[str] = ()) -> None:
        """Write a record at once.

        Raises:
            StoreError: Datastore could not be reached or refused.
        """

    def read(self, keys: Sequence[RecordKey]) -> list[Versioned | None]:
        """Return the records with their versions, as `get` does.

        Raises:
            StoreError: Datastore could not be reached or refused.
        """

    def replace(
        self, key: RecordKey, record: Record, *, version: int, unindexed: Collection[str] = ()
    ) -> int:
        """Write a record if the stored one has this version; return the new version.

        If the response is lost, the record may have been written. A repetition then raises
        ConflictError, which callers must allow for.

        Raises:
            ConflictError: The stored record has another version, or does not exist.
            StoreError: Datastore could not be reached or refused.
        """

    def put_many(
        self, records: Mapping[RecordKey, Record], *, unindexed: Collection[str] = ()
    ) -> None:
        """Write records at once, in as few commits as possible; each commit is atomic.

        Raises:
            StoreError: Datastore could not be reached or refused; some may have been written.
        """

    def delete_many(self, keys: Sequence[RecordKey]) -> None:
        """Delete the records that exist, in as few commits as possible.

        Raises:
            StoreError: Datastore could not be reached or refused; some records may be gone.
        """

    def query(
        self,
        kind: str,
        *,
        by: str,
        since: dt.datetime | None = None,
        before: dt.datetime | None = None,
    ) -> Iterator[tuple[str, Record]]:
        """Yield names and records of a kind, the latest time in the property `by` first.

        Records without that property are left out. Pages are fetched as the results are taken.

        Args:
            kind: The kind.
            by: A property that holds a time.
            since: Only records of this time or later; no limit if None.
            before: Only records earlier than this time; no limit if None.

        Raises:
            StoreError: Datastore could not be reached or refused.
        """

    def by_name(self, kind: str, *, prefix: str) -> Iterator[tuple[str, Record]]:
        """Yield names and records of a kind, in the order of the names.

        Pages are fetched as the results are taken.

        Args:
            kind: The kind.
            prefix: What the names begin with.

        Raises:
            StoreError: Datastore could not be reached or refused.
        """

    def names(self, kind: str, *, by: str, before: dt.datetime, limit: int) -> Sequence[str]:
        """Return the names of records of a kind whose time in the property `by` has passed.

        Only the names are fetched, those with the earliest times first.

        Args:
            kind: The kind.
            by: The property.
            before: The time in it is earlier.
            limit: How many names at most.

        Raises:
            StoreError: Datastore could not be reached or refused.
        """

    def transact(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a transaction and return its result; retry it if it is aborted or expires.

        Raises:
            ConflictError: The last attempt was aborted or expired, too.
            StoreError: Datastore could not be reached or refused.
        """
