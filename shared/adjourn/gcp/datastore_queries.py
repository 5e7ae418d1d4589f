"""The query source in Datastore: the queries of the application, through Google's client."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from adjourn.concurrency import PerProcess
from adjourn.errors import ConflictError, DeclarationError, StoreError
from adjourn.gcp import described_queries as queries
from adjourn.gcp.datastore_api import (
    ContentionRetry,
    addressed,
    key_message,
    lookup,
    results_with_cursors,
    translated,
)
from adjourn.gcp.datastore_service import DatastoreService
from adjourn.gcp.described_queries import KEY, DescribedQuery, between, is_projected
from adjourn.gcp.record_messages import message_class
from adjourn.ports import Page, Split

if TYPE_CHECKING:
    from google.cloud.datastore import Client, Entity, Key, Query

_IN_RANGE = ":"
_COUNT = {"alias": "n", "count": {}}

_MOST_SKIPPED = 10_000  # it costs a call for each 1,000 entities


class DatastoreQueries:
    """Runs queries of the application from their descriptions."""

    def __init__(
        self,
        client: Callable[[], Client],
        *,
        most_skipped: int = _MOST_SKIPPED,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Prepare; nothing is connected yet.

        Args:
            client: Returns the client.
            most_skipped: Up to so many results, a query is split by skipping, not by a sample.
            sleep: Waits for some seconds.
            jitter: Returns random numbers from 0 to 1.
        """
        self._client = client
        self._service = PerProcess(lambda: DatastoreService(client()))
        self._retry = ContentionRetry(sleep, jitter)
        self._most_skipped = most_skipped

    def describe(
        self,
        query: object,
        *,
        limit: int | None = None,
        start_cursor: str | bytes | None = None,
        end_cursor: str | bytes | None = None,
        keys_only: bool = False,
    ) -> DescribedQuery:
        """Describe a query of `google.cloud.datastore`, and refuse one that cannot be resumed."""
        from google.cloud.datastore import Query

        if not isinstance(query, Query):
            raise DeclarationError(
                f"{query!r} is not a google.cloud.datastore query; make one with client.query(...)."
            )
        if limit is not None and (type(limit) is not int or limit < 1):
            raise DeclarationError(f"limit is {limit!r}; it must be a whole number from 1 on.")
        # A projected result has its key anyway, and a group of results has only one.
        is_cut = keys_only and not query.projection and not query.distinct_on
        described = {
            "kind": query.kind,
            "namespace": query.namespace,
            "database": self._own_database(query),
            "ancestor": query.ancestor,
            "filters": [queries.describe_filter(each) for each in query.filters],
            "order": list(query.order),
            "projection": [KEY] if is_cut else list(query.projection),
            "distinct_on": list(query.distinct_on),
            "limit": limit,
            "start_cursor": _text(start_cursor),
            "end_cursor": _text(end_cursor),
        }
        queries.check_kinds(described)
        queries.check_resumable(described)
        return described

    def warnings(self, query: DescribedQuery) -> Sequence[str]:
        """Return a warning for each property whose value must not change."""
        return queries.warnings(query)

    def page(self, query: DescribedQuery, *, cursor: str, limit: int) -> Page:
        """Fetch one page."""
        ranges = self._ranges(query)
        # Positions in a query for all kinds begin with the number of the range that they are in.
        # Those of earlier versions do not.
        at, _, inner = cursor.rpartition(_IN_RANGE)
        if len(ranges) == 1 or (cursor and not at):
            return self._page(query, cursor, limit)
        first = int(at or 0)
        for number, part in enumerate(ranges[first:], first):
            page = self._page(part, inner if number == first else "", limit)
            if page.entries:
                cursors = [f"{number}{_IN_RANGE}{each}" for each in page.cursors]
                return Page(page.entries, cursors, page.more or number < len(ranges) - 1)
        return Page(entries=[], cursors=[], more=False)

    def _ranges(self, query: DescribedQuery) -> list[DescribedQuery]:
        namespace = query["namespace"]
        return queries.ranges(query, partial(self._client().key, namespace=namespace))

    def _page(self, query: DescribedQuery, cursor: str, limit: int) -> Page:
        """Fetch one page of the entities of the application."""
        while True:
            with translated():
                results = self._results(query, cursor=cursor, limit=limit)
                entries, cursors = list(results), results.cursors
            if not all(cursors):
                raise StoreError("Datastore returned a result of the query without a cursor.")
            more = bool(entries) and results.more
            if query["kind"] is not None:
                return Page(entries=entries, cursors=cursors, more=more)
            pairs = zip(entries, cursors, strict=True)
            kept = [pair for pair in pairs if queries.is_of_application(pair[0].key)]
            if kept or not more:
                return Page([entry for entry, _ in kept], [each for _, each in kept], more)
            cursor = cursors[-1]

    def count(self, query: DescribedQuery) -> int:
        """Count with an aggregation query: one read for each 1,000 index entries."""
        total = sum(self._count(each) for each in self._ranges(query))
        return total if query["limit"] is None else min(total, query["limit"])

    def _count(self, query: DescribedQuery) -> int:
        with translated():
            client = self._client()
            results = self._results(query, cursor="", limit=query["limit"])
            nested = results._build_protobuf()  # noqa: SLF001 - Google's count has no cursors
            request = {
                "partition_id": {
                    "project_id": client.project,
                    "database_id": client.database,
                    "namespace_id": query["namespace"],
                },
                "aggregation_query": {"nested_query": nested, "aggregations": [_COUNT]},
            }
            answer = client._datastore_api.run_aggregation_query(  # noqa: SLF001
                request=addressed(client, request)
            )
        (result,) = answer.batch.aggregation_results
        total: int = result.aggregate_properties["n"].integer_value
        return total

    def split(self, query: DescribedQuery, parts: int) -> Split:
        """Split the query at keys of existing entities."""
        from adjourn.gcp.query_splitter import QuerySplitter

        splitter = QuerySplitter(
            query=self._query,
            ranges=self._ranges,
            count=self._count,
            most_skipped=self._most_skipped,
        )
        reason = queries.unsplittable(query)
        cuts = [] if reason else splitter.cuts(query, parts)
        if not cuts:
            return Split(parts=[query], reason=reason or "it has fewer than two entities")
        ends = itertools.pairwise([None, *cuts, None])
        return Split(parts=[between(query, low, high) for low, high in ends])

    def refer(self, query: DescribedQuery, entry: object) -> object:
        """Return the key of an entity, or an entry of a projection as it is."""
        if is_projected(query):
            return entry
        return _key_of(entry)

    def find(self, query: DescribedQuery, references: Sequence[object]) -> Sequence[object | None]:
        """Look up entities by key."""
        if is_projected(query):
            return references
        keys: Sequence[Any] = references
        with translated():
            found = lookup(self._client(), keys)
        entities = [found[key][0] if key in found else None for key in keys]
        if query["projection"]:
            return [each and _bare(each) for each in entities]
        return entities

    def check_key(self, key: object) -> None:
        """Refuse what is not the key of an entity of the application in this database."""
        from google.cloud.datastore import Key

        if not isinstance(key, Key) or key.is_partial:
            raise DeclarationError(f"{key!r:.200} is not a complete key of google.cloud.datastore.")
        ours = self._client()
        theirs, own = (key.project, key.database or ""), (ours.project, ours.database or "")
        if theirs != own:
            raise DeclarationError(
                f"{key!r} is a key of the project {theirs[0]!r} and the database {theirs[1]!r};"
                f" those of adjourn are {own[0]!r} and {own[1]!r}."
            )
        queries.check_key(key)

    def delete(self, entries: Sequence[object]) -> None:
        """Delete entities by their keys, up to 500 in a commit."""
        keys = dict.fromkeys(_own_left_out(entries))

        def delete() -> None:
            deletions = (message_class("Mutation")(delete=key_message(key)) for key in keys)
            self._service().commit_all(deletions)

        self._retry(delete, ConflictError)

    def change(
        self, entries: Sequence[object], function: Callable[[Any], object]
    ) -> Sequence[Exception | None]:
        """Change entities in transactions of up to 50."""
        from adjourn.gcp.bulk_change import BulkChange

        keys = [_key_of(entry) for entry in entries]
        client = self._client()
        bulk = BulkChange(client, function, self._retry)
        failed = bulk.run(_own_left_out(entries))
        return [failed.get(key) for key in keys]

    def _own_database(self, query: Query) -> str:
        ours = self._client()
        if query.project != ours.project:
            raise DeclarationError(
                f"The query is for the project {query.project!r}, ADJOURN_PROJECT is "
                f"{ours.project!r}."
            )
        database = query._client.database or ""  # noqa: SLF001 - nothing else has it
        if database != (ours.database or ""):
            raise DeclarationError(
                f"The query is for the database {database!r}, ADJOURN_DATABASE is "
                f"{ours.database or ''!r}; a walk would find other entities."
            )
        return database

    def _results(self, query: DescribedQuery, *, cursor: str, limit: int | None) -> Any:
        return results_with_cursors()(
            self._query(query),
            self._client(),
            limit=limit,
            start_cursor=cursor or query["start_cursor"] or None,
            end_cursor=query["end_cursor"] or None,
        )

    def _query(self, query: DescribedQuery) -> Query:
        made: Query = self._client().query(
            kind=query["kind"],
            namespace=query["namespace"],
            ancestor=query["ancestor"],
            order=query["order"],
            projection=query["projection"],
            distinct_on=query["distinct_on"],
        )
        for each in query["filters"]:
            made.add_filter(filter=queries.google_filter(each))
        return made


def _key_of(entry: object) -> Key:
    key: Key | None = getattr(entry, "key", None)
    if key is None or len(key.flat_path) % 2:  # faster than `is_partial`, which copies the path
        raise DeclarationError(f"{entry!r:.200} is not an entity with a complete key.")
    return key


def _own_left_out(entries: Sequence[object]) -> list[Key]:
    """Return the keys of the entities that are the application's."""
    return [key for key in map(_key_of, entries) if queries.is_of_application(key)]


def _bare(entity: Entity) -> Entity:
    """Return an entity as a keys-only query returns it."""
    entity.clear()
    return entity


def _text(cursor: str | bytes | None) -> str:
    if cursor is not None and not isinstance(cursor, str | bytes):
        raise DeclarationError(f"{cursor!r} is not a cursor; take an iterator's next_page_token.")
    return cursor.decode() if isinstance(cursor, bytes) else cursor or ""
