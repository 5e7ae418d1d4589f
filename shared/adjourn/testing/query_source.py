"""The query source in memory."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from adjourn.errors import DeclarationError
from adjourn.gcp import described_queries as queries
from adjourn.gcp.datastore_queries import DatastoreQueries
from adjourn.gcp.datastore_values import as_read
from adjourn.gcp.described_queries import KEY, DescribedQuery, is_projected
from adjourn.ports import Page, Split
from adjourn.testing.index_values import key_of
from adjourn.testing.query_plan import plan_of
from adjourn.testing.query_results import (
    Reference,
    as_found,
    as_returned,
    query_results,
    sort_path,
)

# New ids are as large as those of Datastore, so that they do not collide with chosen ones.
_FIRST_ID = 5_000_000_000_000_000


@dataclass(frozen=True, slots=True)
class MemoryQuery:
    """A query for all entries of a kind in `MemoryQueries`, whatever their type.

    Attributes:
        kind: The kind.
        order: Name of the item by which the entries are sorted; they must be mappings then.
    """

    kind: str
    order: str = ""

    def describe(self, *, keys_only: bool = False) -> DescribedQuery:
        """Return the query as plain values, as `QuerySource.describe` does."""
        return {
            "kind": self.kind,
            "namespace": None,
            "database": "",
            "ancestor": None,
            "filters": [],
            "order": [self.order] if self.order else [],
            "projection": [KEY] if keys_only else [],
            "distinct_on": [],
            "start_cursor": "",
            "end_cursor": "",
        }


class MemoryQueries:
    """A query source in memory, which finds the entries that were added as Datastore would.

    It runs `MemoryQuery` and the queries of google-cloud-datastore. An entry is an entity or any
    other object. Entities are copied when they are added and returned. Other objects have no key:
    they are stored as they are and sorted behind the entities of their kind, as they were added.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._kinds: dict[str, dict[Reference, object]] = {}

    def add(self, kind: str, *entries: object) -> None:
        """Add entries of a kind.

        An entity replaces the one with the same key; it receives an id if its key is partial.

        Args:
            kind: The kind.
            *entries: Entities of that kind, mappings, or anything else.

        Raises:
            ValueError: An entity is of another kind, or has a value that Datastore cannot store.
        """
        kept = self._kinds.setdefault(kind, {})
        for entry, number in zip(entries, self._numbers, strict=False):
            key: Any = key_of(entry)
            if key is None:
                kept[number] = entry
            elif key.kind != kind:
                raise ValueError(f"{key!r} is of the kind {key.kind!r}, not {kind!r}.")
            else:
                stored: Any = entry
                if key.is_partial:
                    stored.key = key.completed_key(_FIRST_ID + number)
                kept[stored.key] = as_read(stored)

    def entries(self, kind: str) -> list[Any]:
        """Return the entries of a kind as they are now, in the order of their keys."""
        kept = self._kinds.get(kind, {})
        return [_copied(kept[each]) for each in sorted(kept, key=lambda ref: sort_path(kind, ref))]

    def remove(self, kind: str, entry: object) -> None:
        """Remove an entity, or an entry and all that equal it, from a kind.

        Raises:
            ValueError: It is not an entry of the kind.
        """
        kept = self._kinds.get(kind, {})
        if (reference := _reference(kept, entry)) is None:
            raise ValueError(f"{entry!r:.200} is not an entry of the kind {kind!r}.")
        while reference is not None:
            del kept[reference]
            reference = _reference(kept, entry)

    def describe(
        self,
        query: object,
        *,
        limit: int | None = None,
        start_cursor: str | bytes | None = None,
        end_cursor: str | bytes | None = None,
        keys_only: bool = False,
    ) -> DescribedQuery:
        """Describe a `MemoryQuery`, or a query of google-cloud-datastore.

        Raises:
            DeclarationError: It is neither, or could not be resumed in Datastore.
        """
        if isinstance(query, MemoryQuery):
            cursors = {"start_cursor": start_cursor or "", "end_cursor": end_cursor or ""}
            described = {**query.describe(keys_only=keys_only), **cursors, "limit": limit}
            queries.check_kinds(described)
            return described
        if not hasattr(query, "add_filter"):
            raise DeclarationError(
                f"{query!r} is not a MemoryQuery, nor a query of google-cloud-datastore."
            )
        client: Any = query._client  # type: ignore[attr-defined]  # noqa: SLF001 - its own
        return DatastoreQueries(lambda: client).describe(
            query,
            limit=limit,
            start_cursor=start_cursor,
            end_cursor=end_cursor,
            keys_only=keys_only,
        )

    def warnings(self, query: DescribedQuery) -> Sequence[str]:
        """Return a warning for each property whose value must not change."""
        return queries.warnings(query)

    def page(self, query: DescribedQuery, *, cursor: str, limit: int) -> Page:
        """Return up to `limit` results behind a cursor."""
        plan = plan_of(query)
        found = query_results(query, plan, self._kinds, cursor)
        return Page(
            entries=[as_returned(query, plan, each) for each in found[:limit]],
            cursors=[plan.cursor(each.row) for each in found[:limit]],
            more=len(found) > limit,
        )

    def count(self, query: DescribedQuery) -> int:
        """Return the number of results."""
        count = len(query_results(query, plan_of(query), self._kinds))
        return count if query["limit"] is None else min(count, query["limit"])

    def split(self, query: DescribedQuery, parts: int) -> Split:
        """Split the query at the paths of entries."""
        reason = queries.unsplittable(query)
        found = [] if reason else query_results(query, plan_of(query), self._kinds)
        number = min(parts, len(found))
        if reason or number <= 1:
            return Split(parts=[query], reason=reason or "it has fewer than two entities")
        cuts: list[Any] = [found[len(found) * n // number].row[-1] for n in range(1, number)]
        ends = itertools.pairwise([None, *cuts, None])
        return Split(parts=[queries.between(query, low, high) for low, high in ends])

    def refer(self, query: DescribedQuery, entry: object) -> object:
        """Return the key of an entity, the number of another entry, 0 if it is gone."""
        if is_projected(query):
            return entry
        return key_of(entry) or next((ref for _, ref, _ in self._stored([entry])), 0)

    def find(self, query: DescribedQuery, references: Sequence[object]) -> Sequence[object | None]:
        """Return the entries as they are now."""
        if is_projected(query):
            return references
        found = {ref: each for kept in self._kinds.values() for ref, each in kept.items()}
        return [as_found(query, found[ref]) if ref in found else None for ref in references]

    def check_key(self, key: Any) -> None:
        """Refuse what is not the complete key of an entity of the application."""
        if getattr(key, "is_partial", True):
            raise DeclarationError(f"{key!r:.200} is not a complete key of google.cloud.datastore.")
        queries.check_key(key)

    def delete(self, entries: Sequence[object]) -> None:
        """Delete entries of any kind."""
        for kept, reference, _ in self._stored(entries):
            del kept[reference]

    def change(
        self, entries: Sequence[object], function: Callable[[Any], object]
    ) -> Sequence[Exception | None]:
        """Replace each entry by a changed copy."""
        failed: dict[int, Exception] = {}
        for kept, reference, number in self._stored(entries):
            changed = copy.deepcopy(_copied(kept[reference]))
            try:
                if function(changed) is not False:
                    kept[reference] = _copied(changed)
            except Exception as error:  # noqa: BLE001 - whatever the user's code raises
                failed[number] = error
        return [failed.get(number) for number in range(len(entries))]

    def _stored(
        self, entries: Sequence[object]
    ) -> Iterator[tuple[dict[Reference, object], Reference, int]]:
        """Yield the entries of its kind, the reference and the number of each stored entry."""
        for number, entry in enumerate(entries):
            for kept in self._kinds.values():
                if (reference := _reference(kept, entry)) is not None:
                    yield kept, reference, number
                    break


def _reference(kept: dict[Reference, object], entry: object) -> Reference | None:
    """Return the reference of an entry; the same object before an equal one; None if not stored."""
    key = key_of(entry)
    if key is not None:
        return key if key in kept else None
    same = (ref for ref, each in kept.items() if each is entry)
    equal = (ref for ref, each in kept.items() if each == entry)
    return next(itertools.chain(same, equal), None)


def _copied(entry: Any) -> Any:
    """Return a copy of an entity, and anything else as it is."""
    return entry if key_of(entry) is None else as_read(entry)
