"""The entity store in Datastore: our own records, through Google's client."""

from __future__ import annotations

import datetime as dt
import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from adjourn.concurrency import PerProcess
from adjourn.errors import ConflictError
from adjourn.gcp.datastore_api import ContentionRetry, translated
from adjourn.gcp.datastore_service import DatastoreService
from adjourn.gcp.record_messages import message_class, set_key, set_properties
from adjourn.ports import Record, RecordKey, Transaction, Versioned

if TYPE_CHECKING:
    from google.cloud.datastore import Client, Key

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
        self._service = PerProcess(lambda: DatastoreService(client()))
        self._retry = ContentionRetry(sleep, jitter)

    def get(self, keys: Sequence[RecordKey]) -> list[Record | None]:
        """Look up the records in one call."""
        return [found.record if found else None for found in self.read(keys)]

    def read(self, keys: Sequence[RecordKey]) -> list[Versioned | None]:
        """Look up the records in one call."""
        with translated():
            return _read(self._service(), keys, message_class("ReadOptions")())

    def put(self, key: RecordKey, record: Record, *, unindexed: Collection[str] = ()) -> None:
        """Write one entity."""

        def put() -> None:
            service = self._service()
            service.commit([_upsert(service, key, record, unindexed)])

        self._retry(put)

    def replace(
        self, key: RecordKey, record: Record, *, version: int, unindexed: Collection[str] = ()
    ) -> int:
        """Write one entity in a commit that fails if the stored version differs."""
        from google.api_core.exceptions import Aborted

        def replace() -> int:
            service = self._service()
            mutation = message_class("Mutation")(base_version=version)
            _set_entity(mutation.update, service, key, record, unindexed)
            # With any other strategy, Google's emulator detects no conflict.
            mutation.conflict_resolution_strategy = mutation.FAIL
            try:
                with _conflicts(key):
                    new_version: int = service.commit([mutation])[0].version
            except Aborted:
                (found,) = _read(service, [key], message_class("ReadOptions")())
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
            service = self._service()
            service.commit_all(_upsert(service, *each, unindexed) for each in records.items())

        self._retry(put_many)

    def delete_many(self, keys: Sequence[RecordKey]) -> None:
        """Delete the entities, up to 500 in a commit."""

        def delete_many() -> None:
            service = self._service()
            service.commit_all(_deletion(service, key) for key in dict.fromkeys(keys))

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
        transaction = _Transaction(self._service())
        try:
            result = work(transaction)
        except BaseException:
            transaction.roll_back()
            raise
        transaction.commit()
        return result


class _Transaction:
    """Reads and writes in a transaction; the first read begins it, which saves a round trip."""

    def __init__(self, service: DatastoreService) -> None:
        self._service = service
        self._options = message_class("ReadOptions")()
        self._options.new_transaction.SetInParent()
        self._mutations: list[tuple[RecordKey, Any]] = []
        self.written: Mapping[RecordKey, int] = {}

    def get(self, keys: Sequence[RecordKey]) -> list[Record | None]:
        return [found.record if found else None for found in self.read(keys)]

    def read(self, keys: Sequence[RecordKey]) -> list[Versioned | None]:
        return _read(self._service, keys, self._options)

    def put(self, key: RecordKey, record: Record, *, unindexed: Collection[str] = ()) -> None:
        self._mutations.append((key, _upsert(self._service, key, record, unindexed)))

    def delete(self, key: RecordKey) -> None:
        self._mutations.append((key, _deletion(self._service, key)))

    def commit(self) -> None:
        if self._mutations and not self._options.transaction:
            self._options.transaction = self._service.begin()
        if self._options.transaction:
            mutations = [mutation for _, mutation in self._mutations]
            results = self._service.commit(mutations, self._options.transaction)
            done = zip(self._mutations, results, strict=True)
            self.written = {
                key: each.version for (key, it), each in done if not it.HasField("delete")
            }

    def roll_back(self) -> None:
        """End without effect; what cannot be told to Datastore expires there."""
        from google.api_core.exceptions import GoogleAPIError
        from google.auth.exceptions import GoogleAuthError

        if self._options.transaction:
            with suppress(GoogleAPIError, GoogleAuthError):
                self._service.roll_back(self._options.transaction)


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


def _read(
    service: DatastoreService, keys: Sequence[RecordKey], options: Any
) -> list[Versioned | None]:
    found = service.lookup((key for key in keys if _is_name(key.name)), options)
    return [found.get(key) for key in keys]


def _upsert(
    service: DatastoreService, key: RecordKey, record: Record, unindexed: Collection[str]
) -> Any:
    mutation = message_class("Mutation")()
    _set_entity(mutation.upsert, service, key, record, unindexed)
    return mutation


def _set_entity(
    message: Any,
    service: DatastoreService,
    key: RecordKey,
    record: Record,
    unindexed: Collection[str],
) -> None:
    set_key(message.key, service.project, service.database, key)
    set_properties(message, record, unindexed)


def _deletion(service: DatastoreService, key: RecordKey) -> Any:
    mutation = message_class("Mutation")()
    set_key(mutation.delete, service.project, service.database, key)
    return mutation


@contextmanager
def _conflicts(key: RecordKey) -> Iterator[None]:
    """Raise ConflictError if a commit found another version, or no entity."""
    from google.api_core.exceptions import FailedPrecondition, NotFound

    try:
        yield
    except (FailedPrecondition, NotFound) as error:
        raise ConflictError(f"{key.kind} {key.name} was changed meanwhile: {error}") from error
