"""The queries of users, through Google's own client."""

from __future__ import annotations

import itertools
import random
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from adjourn.errors import ConflictError, DeclarationError, StoreError
from adjourn.gcp import described_queries as queries
from adjourn.gcp.changes import BulkChange
from adjourn.gcp.connection import addressed, commit_all, lookup, translated
from adjourn.gcp.contention import Contention
from adjourn.gcp.described_queries import KEY, Told, between, is_projected
from adjourn.ports.query_source import Page, Split

if TYPE_CHECKING:
    from google.cloud.datastore import Client, Entity, Key, Query

# Probing takes a call for each 1,000 entities; so many of a sample make pieces of about one size.
_PROBED = 10_000
_SAMPLE = 32
_SMALLEST_SAMPLE = 8
_COUNT = {"alias": "n", "count": {}}


class DatastoreQueries:
    """Runs the queries of users, told as plain values."""

    def __init__(
        self,
        client: Callable[[], Client],
        *,
        probed: int = _PROBED,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Take the client, and how many entities are not too many to skip over."""
        self._client = client
        self._contended = Contention(sleep, jitter)
        self._most_probed = probed

    def describe(
        self,
        query: object,
        *,
        limit: int | None = None,
        start_cursor: str | bytes | None = None,
        end_cursor: str | bytes | None = None,
        keys_only: bool = False,
    ) -> Told:
        """Return all that a query says, and refuse what has no positions to go on from."""
        from google.cloud.datastore import Query

        if not isinstance(query, Query):
            raise DeclarationError(
                f"{query!r} is not a google.cloud.datastore query; make one with client.query(...)."
            )
        if limit is not None and (type(limit) is not int or limit < 1):
            raise DeclarationError(f"limit is {limit!r}; it must be a whole number from 1 on.")
        # What is projected has its key anyway, and groups of results have but one.
        is_cut = keys_only and not query.projection and not query.distinct_on
        told = {
            "kind": query.kind,
            "namespace": query.namespace,
            "database": self._own_database(query),
            "ancestor": query.ancestor,
            "filters": [queries.told_filter(each) for each in query.filters],
            "order": list(query.order),
            "projection": [KEY] if is_cut else list(query.projection),
            "distinct_on": list(query.distinct_on),
            "limit": limit,
            "start_cursor": _text(start_cursor),
            "end_cursor": _text(end_cursor),
        }
        queries.check_resumable(told)
        return told

    def warnings(self, query: Told) -> Sequence[str]:
        """Name the properties whose values must not change."""
        return queries.warnings(query)

    def page(self, query: Told, *, cursor: str, limit: int) -> Page:
        """Fetch one page."""
        with translated():
            results = self._results(query, cursor=cursor, limit=limit)
            entries = list(results)
        if not all(results.cursors):
            raise StoreError("Datastore gave no position for a result of the query.")
        return Page(entries=entries, cursors=results.cursors, more=bool(entries) and results.more)

    def count(self, query: Told) -> int:
        """Count with an aggregation query: one read for each 1,000 index entries."""
        with translated():
            client = self._client()
            results = self._results(query, cursor="", limit=query["limit"])
            nested = results._build_protobuf()  # noqa: SLF001 - Google's counting knows no cursors
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

    def split(self, query: Told, pieces: int) -> Split:
        """Cut the query at keys that are there."""
        reason = queries.unsplittable(query)
        cuts = [] if reason else self._cuts(query, pieces)
        if not cuts:
            return Split(pieces=[query], reason=reason or "it has fewer than two entities")
        ends = itertools.pairwise([None, *cuts, None])
        return Split(pieces=[between(query, low, high) for low, high in ends])

    def refer(self, query: Told, entry: object) -> object:
        """Return the key of an entity, or an entry of a projection as it is."""
        if is_projected(query):
            return entry
        return _key_of(entry)

    def find(self, query: Told, references: Sequence[object]) -> Sequence[object | None]:
        """Look entities up by key."""
        if is_projected(query):
            return references
        keys: Sequence[Any] = references
        with translated():
            found = lookup(self._client(), keys)
        entities = [found[key][0] if key in found else None for key in keys]
        if query["projection"]:
            return [each and _bare(each) for each in entities]
        return entities

    def delete(self, entries: Sequence[object]) -> None:
        """Delete entities by their keys, 500 in a commit."""
        keys = dict.fromkeys(_key_of(entry) for entry in entries)

        def delete() -> None:
            commit_all(self._client(), ({"delete": key.to_protobuf()} for key in keys))

        self._contended(delete, ConflictError)

    def change(
        self, entries: Sequence[object], function: Callable[[Any], object]
    ) -> Sequence[Exception | None]:
        """Change entities in transactions."""
        keys = [_key_of(entry) for entry in entries]
        client = self._client()
        bulk = BulkChange(client, function, self._contended)
        failed = bulk.run(keys)
        return [failed.get(key) for key in keys]

    def _own_database(self, query: Query) -> str:
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
        return database

    def _cuts(self, told: Told, pieces: int) -> list[Key]:
        total = self.count(told)
        number = min(total, pieces)
        with translated():
            return self._sampled(told, total, number) or self._probed(told, total, number)

    def _sampled(self, told: Told, total: int, pieces: int) -> list[Key]:
        """Return the keys at which the pieces but the first begin, by a random sample of the kind.

        There are none if the sample is too small, or if the service refuses the property that
        makes it: Apache Beam relies on it, but no documentation of Datastore names it.
        """
        from google.api_core.exceptions import FailedPrecondition, InvalidArgument

        if total <= self._most_probed or not queries.is_sampled(told):
            return []
        of_kind = {**told, "filters": [], "projection": [KEY], "order": ["__scatter__"]}
        try:
            found = [entity.key for entity in self._query(of_kind).fetch(limit=pieces * _SAMPLE)]
        except (FailedPrecondition, InvalidArgument):
            return []
        return (
            queries.sampled_cuts(found, pieces) if len(found) >= pieces * _SMALLEST_SAMPLE else []
        )

    def _probed(self, told: Told, total: int, pieces: int) -> list[Key]:
        """Return the keys at which the pieces but the first begin, by skipping to each."""
        keys_only, cuts, at = {**told, "projection": [KEY]}, list[Any](), 0
        for place in (total * n // pieces for n in range(1, pieces)):
            rest = self._query(between(keys_only, cuts[-1] if cuts else None, None))
            found = [entity.key for entity in rest.fetch(offset=place - at, limit=1)]
            if not found:
                break  # others deleted entities meanwhile
            cuts += found
            at = place
        return cuts

    def _results(self, told: Told, *, cursor: str, limit: int | None) -> Any:
        return _results()(
            self._query(told),
            self._client(),
            limit=limit,
            start_cursor=cursor or told["start_cursor"] or None,
            end_cursor=told["end_cursor"] or None,
        )

    def _query(self, told: Told) -> Query:
        made: Query = self._client().query(
            kind=told["kind"],
            namespace=told["namespace"],
            ancestor=told["ancestor"],
            order=told["order"],
            projection=told["projection"],
            distinct_on=told["distinct_on"],
        )
        for each in told["filters"]:
            made.add_filter(filter=queries.google_filter(each))
        return made


@cache
def _results() -> Any:
    from google.cloud.datastore.query import Iterator
    from google.cloud.datastore_v1.types import QueryResultBatch, RunQueryResponse

    base: Any = Iterator  # its methods have no types
    over = {
        QueryResultBatch.MoreResultsType.NO_MORE_RESULTS,
        QueryResultBatch.MoreResultsType.MORE_RESULTS_AFTER_CURSOR,
    }

    class Results(base):  # type: ignore[misc]
        """Keeps the position behind each result, and the end, both of which the client drops."""

        _end_cursor: Any

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.cursors: list[str] = []
            self.more = True

        def _process_query_results(self, answer: Any) -> Any:
            end = self._end_cursor
            # The bare messages: the client wraps each, which takes a third of its reading time.
            batch = answer.batch._pb  # noqa: SLF001
            found = batch.entity_results
            self.cursors += [urlsafe_b64encode(result.cursor).decode() for result in found]
            self.more = batch.more_results not in over
            rest = QueryResultBatch(
                more_results=batch.more_results,
                end_cursor=batch.end_cursor,
                skipped_results=batch.skipped_results,
            )
            super()._process_query_results(RunQueryResponse(batch=rest))
            self._end_cursor = end
            return [result.entity for result in found]

    return Results


def _key_of(entry: object) -> Key:
    key: Key | None = getattr(entry, "key", None)
    if key is None or key.is_partial:
        raise DeclarationError(f"{entry!r:.200} is no entity that Datastore has.")
    return key


def _bare(entity: Entity) -> Entity:
    """Return an entity as a keys-only query has it."""
    entity.clear()
    return entity


def _text(cursor: str | bytes | None) -> str:
    if cursor is not None and not isinstance(cursor, str | bytes):
        raise DeclarationError(f"{cursor!r} is not a cursor; take an iterator's next_page_token.")
    return cursor.decode() if isinstance(cursor, bytes) else cursor or ""
