"""Datastore through Google's own client: our own records, and the users' queries."""

import datetime as dt
import random
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from adjourn.errors import ConflictError, DeclarationError, StoreError
from adjourn.ports import Page, Record, RecordKey, Transaction
from adjourn.settings import Settings

if TYPE_CHECKING:
    from google.cloud.datastore import Client, Entity, Key, Query
    from google.cloud.datastore.query import BaseFilter

T = TypeVar("T")

_ATTEMPTS = 6
_FIRST_PAUSE = 0.05


def datastore_client(settings: Settings) -> "Client":
    """Return a client for the settings' project and database.

    Raises:
        StoreError: There are no credentials.
    """
    from google.cloud.datastore import Client

    with _translated():
        return Client(project=settings.project, database=settings.database or None)


class DatastoreStore:
    """Keeps records as entities, without a parent, in the default namespace."""

    def __init__(
        self,
        client: "Callable[[], Client]",
        *,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._sleep = sleep
        self._jitter = jitter

    def get(self, keys: Sequence[RecordKey]) -> list[Record | None]:
        """Look the records up in one call."""
        with _translated():
            return _lookup(self._client(), keys)

    def put(self, key: RecordKey, record: Record, *, unindexed: Collection[str] = ()) -> None:
        """Write one entity."""
        with _translated():
            client = self._client()
            client.put(_entity(client, key, record, unindexed))

    def query(
        self,
        kind: str,
        *,
        by: str,
        since: dt.datetime | None = None,
        before: dt.datetime | None = None,
    ) -> Iterator[tuple[str, Record]]:
        """Run one query, page by page; the index of each single property serves it."""
        from google.cloud.datastore.query import PropertyFilter

        with _translated():
            query = self._client().query(kind=kind, order=[f"-{by}"])
            for operator, moment in ((">=", since), ("<", before)):
                if moment is not None:
                    query.add_filter(filter=PropertyFilter(by, operator, moment))
            for entity in query.fetch():
                yield str(entity.key.name), dict(entity)

    def transact(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a transaction; on contention again, after a growing random pause."""
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._sleep(_FIRST_PAUSE * 2**attempt * self._jitter())
            try:
                return self._transact_once(work)
            except ConflictError:
                continue
        raise ConflictError(f"A transaction met others {_ATTEMPTS} times in a row.")

    def _transact_once(self, work: Callable[[Transaction], T]) -> T:
        # begin_later lets the first read open the transaction, which saves a round trip.
        with _translated(), self._client().transaction(begin_later=True):
            return work(_Transaction(self._client()))


class _Transaction:
    """What happens inside `client.transaction()`, which the client applies by itself."""

    def __init__(self, client: "Client") -> None:
        self._client = client

    def get(self, keys: Sequence[RecordKey]) -> list[Record | None]:
        return _lookup(self._client, keys)

    def put(self, key: RecordKey, record: Record, *, unindexed: Collection[str] = ()) -> None:
        self._client.put(_entity(self._client, key, record, unindexed))

    def delete(self, key: RecordKey) -> None:
        self._client.delete(_key(self._client, key))


class DatastoreQueries:
    """Runs the queries of users, told as plain values."""

    def __init__(self, client: "Callable[[], Client]") -> None:
        self._client = client

    def describe(self, query: object) -> Mapping[str, object]:
        """Return kind, partition, ancestor, filters, order and projection of a query."""
        from google.cloud.datastore import Query

        if not isinstance(query, Query):
            raise DeclarationError(
                f"{query!r} is not a google.cloud.datastore query; make one with client.query(...)."
            )
        ours = self._client()
        if query.project != ours.project:
            raise DeclarationError(
                f"The query is for the project {query.project!r}, ADJOURN_PROJECT is "
                f"{ours.project!r}."
            )
        database = query._client.database or ""  # noqa: SLF001 - nothing else tells it
        if database != (ours.database or ""):
            raise DeclarationError(
                f"The query is for the database {database!r}, ADJOURN_DATABASE is "
                f"{ours.database or ''!r}; a walk would find other entities."
            )
        return {
            "kind": query.kind,
            "namespace": query.namespace,
            "database": database,
            "ancestor": query.ancestor,
            "filters": [_told(condition) for condition in query.filters],
            "order": list(query.order),
            "projection": list(query.projection),
            "distinct_on": list(query.distinct_on),
        }

    def page(self, query: Mapping[str, object], *, cursor: str, limit: int) -> Page:
        """Fetch one page."""
        with _translated():
            results = _results()(
                self._query(query), self._client(), limit=limit, start_cursor=cursor or None
            )
            entries = list(results)
        if not all(results.cursors):
            raise StoreError("Datastore gave no position for a result of the query.")
        return Page(
            entries=entries,
            cursors=results.cursors,
            more=bool(entries) and results.next_page_token is not None,
        )

    def count(self, query: Mapping[str, object]) -> int:
        """Count with an aggregation query: one read for each 1,000 index entries."""
        with _translated():
            counting = self._client().aggregation_query(self._query(query)).count(alias="n")
            return sum(int(result.value) for results in counting.fetch() for result in results)

    def _query(self, told: Mapping[str, Any]) -> "Query":
        query: Query = self._client().query(
            kind=told["kind"],
            namespace=told["namespace"],
            ancestor=told["ancestor"],
            order=told["order"],
            projection=told["projection"],
            distinct_on=told["distinct_on"],
        )
        for condition in told["filters"]:
            query.add_filter(filter=_condition(condition))
        return query


@cache
def _results() -> Any:
    from google.cloud.datastore.query import Iterator

    base: Any = Iterator  # its methods have no types

    class Results(base):  # type: ignore[misc]
        """Keeps the position behind each result, which Google's client drops."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.cursors: list[str] = []

        def _process_query_results(self, answer: Any) -> Any:
            found = answer.batch.entity_results
            self.cursors += [urlsafe_b64encode(result.cursor).decode() for result in found]
            return super()._process_query_results(answer)

    return Results


def _told(condition: Any) -> object:
    """Return a filter as values: `[property, operator, value]` or `{"AND" or "OR": filters}`."""
    from google.cloud.datastore.query import BaseCompositeFilter, Or, PropertyFilter

    if isinstance(condition, BaseCompositeFilter):
        name = "OR" if isinstance(condition, Or) else "AND"
        return {name: [_told(part) for part in condition.filters]}
    if isinstance(condition, PropertyFilter):
        return [condition.property_name, condition.operator, condition.value]
    return list(condition)


def _condition(told: Any) -> "BaseFilter":
    from google.cloud.datastore.query import And, Or, PropertyFilter

    if isinstance(told, dict):
        ((name, parts),) = told.items()
        combine = Or if name == "OR" else And
        return combine([_condition(part) for part in parts])
    return PropertyFilter(*told)


def _key(client: "Client", key: RecordKey) -> "Key":
    made: Key = client.key(key.kind, key.name, namespace=None)
    return made


def _lookup(client: "Client", keys: Sequence[RecordKey]) -> list[Record | None]:
    found = {
        (entity.kind, entity.key.name): dict(entity)
        for entity in client.get_multi([_key(client, key) for key in keys])
    }
    return [found.get((key.kind, key.name)) for key in keys]


def _entity(
    client: "Client", key: RecordKey, record: Record, unindexed: Collection[str]
) -> "Entity":
    from google.cloud.datastore import Entity

    entity = Entity(key=_key(client, key), exclude_from_indexes=tuple(unindexed))
    entity.update(record)
    return entity


@contextmanager
def _translated() -> Iterator[None]:
    """Raise our own errors instead of Google's."""
    from google.api_core import exceptions as google
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except google.Aborted as error:
        raise ConflictError(str(error)) from error
    except (google.GoogleAPIError, GoogleAuthError) as error:
        raise StoreError(f"Datastore did not do it: {error}") from error
