"""The entity store in Datastore: our own records, through Google's client."""

from __future__ import annotations

import datetime as dt
import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from adjourn.errors import ConflictError
from adjourn.gcp.datastore_api import (
    ContentionRetry,
    commit,
    commit_all,
    lookup,
    translated,
)
from adjourn.ports import Record, RecordKey, Transaction, Versioned

if TYPE_CHECKING:
    from google.cloud.datastore import Client, Entity, Key

T = TypeVar("T")

_LONGEST_NAME = 1500  # bytes
_LAST = "\U0010ffff"  # no character is ordered behind it


class DatastoreStore:
    """Stores records as entities without a parent, in the default namespace."""

    def __init__(
        self,
        client: Callable[[], Client],
        *,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._retry = ContentionRetry(sleep, jitter)

    def get(self, keys: Sequence[RecordKey]) -> list[Record | None]:
        """Look up the records in one call."""
        return [found.record if found else None for found in self.read(keys)]

    def read(self, keys: Sequence[RecordKey]) -> list[Versioned | None]:
        """Look up the records in one call."""
        with translated():
            return _read(self._client(), keys)

    def put(self, key: RecordKey, record: Record, *, unindexed: Collection[str] = ()) -> None:
        """Write one entity."""

        def put() -> None:
            client = self._client()
            client.put(_entity(client, key, record, unindexed))

        self._retry(put)

    def replace(
        self, key: RecordKey, record: Record, *, version: int, unindexed: Collection[str] = ()
    ) -> int:
        """Write one entity in a commit that fails if the stored version differs."""
        from google.api_core.exceptions import Aborted
        from google.cloud.datastore_v1.types import Mutation

        def replace() -> int:
            client = self._client()
            mutation = {
                "update": _message(client, key, record, unindexed),
                "base_version": version,
                # With any other strategy, Google's emulator detects no conflict.
                "conflict_resolution_strategy": Mutation.ConflictResolutionStrategy.FAIL,
            }
            try:
                with _conflicts(key):
                    new_version: int = commit(client, [mutation])[0].version
            except Aborted:
                (found,) = _read(client, [key])
                if found is None or found.version != version:
                    raise ConflictError(f"{key.kind} {key.name} was changed meanwhile.") from None
                raise
            return new_version

        return self._retry(replace)

    def put_many(
        self, records: Mapping[RecordKey, Record], *, unindexed: Collection[str] = ()
    ) -> None:
        """Write the entities, up to 500 in a commit."""

        def put_many() -> None:
            client = self._client()
            messages = (_message(client, *each, unindexed) for each in records.items())
            commit_all(client, ({"upsert": message} for message in messages))

        self._retry(put_many)

    def delete_many(self, keys: Sequence[RecordKey]) -> None:
        """Delete the entities, up to 500 in a commit."""

        def delete_many() -> None:
            client = self._client()
            distinct = dict.fromkeys(keys)
            commit_all(client, ({"delete": _key(client, key).to_protobuf()} for key in distinct))

        self._retry(delete_many)

    def query(
        self,
        kind: str,
        *,
        by: str,
        since: dt.datetime | None = None,
        before: dt.datetime | None = None,
    ) -> Iterator[tuple[str, Record]]:
        """Run one query, page by page; the automatic index of the property serves it."""
        from google.cloud.datastore.query import PropertyFilter

        with translated():
            query = self._client().query(kind=kind, order=[f"-{by}"])
            for operator, moment in ((">=", since), ("<", before)):
                if moment is not None:
                    query.add_filter(filter=PropertyFilter(by, operator, moment))
            for entity in query.fetch():
                yield str(entity.key.name), dict(entity)

    def by_name(self, kind: str, *, prefix: str) -> Iterator[tuple[str, Record]]:
        """Run one query over the keys, page by page."""
        from google.cloud.datastore.query import PropertyFilter

        with translated():
            client = self._client()
            query = client.query(kind=kind, order=["__key__"])
            if prefix:
                for operator, name in ((">=", prefix), ("<", f"{prefix}{_LAST}")):
                    key = _key(client, RecordKey(kind, name))
                    query.add_filter(filter=PropertyFilter("__key__", operator, key))
            for entity in query.fetch():
                yield str(entity.key.name), dict(entity)

    def names(self, kind: str, *, by: str, before: dt.datetime, limit: int) -> Sequence[str]:
        """Run one keys-only query, which is billed as one read."""
        from google.cloud.datastore.query import PropertyFilter

        with translated():
            query = self._client().query(kind=kind, order=[by])
            query.keys_only()
            query.add_filter(filter=PropertyFilter(by, "<", before))
            return [str(entity.key.name) for entity in query.fetch(limit=limit)]

    def transact(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a transaction; retry it if it was aborted or expired."""
        return self._retry(lambda: self._transact_once(work), ConflictError)

    def _transact_once(self, work: Callable[[Transaction], T]) -> T:
        # With begin_later the first read begins the transaction, which saves a round trip.
        with self._client().transaction(begin_later=True):
            return work(_Transaction(self._client()))


class _Transaction:
    """Reads and writes in the client's current transaction; the client commits them."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def get(self, keys: Sequence[RecordKey]) -> list[Record | None]:
        return [found.record if found else None for found in self.read(keys)]

    def read(self, keys: Sequence[RecordKey]) -> list[Versioned | None]:
        return _read(self._client, keys)

    def put(self, key: RecordKey, record: Record, *, unindexed: Collection[str] = ()) -> None:
        self._client.put(_entity(self._client, key, record, unindexed))

    def delete(self, key: RecordKey) -> None:
        self._client.delete(_key(self._client, key))


def _key(client: Client, key: RecordKey) -> Key:
    made: Key = client.key(key.kind, key.name, namespace=None)
    return made


def _is_name(name: str) -> bool:
    """Whether an entity can have this name; people may ask for any.

    Datastore refuses others: https://cloud.google.com/datastore/docs/concepts/limits
    """
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return False
    return 0 < size <= _LONGEST_NAME and not (name.startswith("__") and name.endswith("__"))


def _read(client: Client, keys: Sequence[RecordKey]) -> list[Versioned | None]:
    wanted = [_key(client, key) for key in keys if _is_name(key.name)]
    found = {
        (key.kind, key.name): Versioned(dict(entity), version)
        for key, (entity, version) in lookup(client, wanted, client.current_transaction).items()
    }
    return [found.get((key.kind, key.name)) for key in keys]


def _entity(client: Client, key: RecordKey, record: Record, unindexed: Collection[str]) -> Entity:
    from google.cloud.datastore import Entity

    entity = Entity(key=_key(client, key), exclude_from_indexes=tuple(unindexed))
    entity.update(record)
    return entity


def _message(client: Client, key: RecordKey, record: Record, unindexed: Collection[str]) -> Any:
    from google.cloud.datastore.helpers import entity_to_protobuf

    return entity_to_protobuf(_entity(client, key, record, unindexed))


@contextmanager
def _conflicts(key: RecordKey) -> Iterator[None]:
    """Raise ConflictError if a commit found another version, or no entity."""
    from google.api_core.exceptions import FailedPrecondition, NotFound

    try:
        yield
    except (FailedPrecondition, NotFound) as error:
        raise ConflictError(f"{key.kind} {key.name} was changed meanwhile: {error}") from error
