"""Queries in memory."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from adjourn.errors import DeclarationError
from adjourn.gcp import described_queries as queries
from adjourn.gcp.described_queries import KEY, Told, is_projected
from adjourn.gcp.queries import DatastoreQueries
from adjourn.gcp.roundtrip import as_read
from adjourn.ports.query_source import Page, Split
from adjourn.testing.plans import plan_of
from adjourn.testing.results import Reference, as_found, path_in, results, shown
from adjourn.testing.values import key_of

# Ids that are given out are as large as those of Datastore, and so in nobody's way.
_FIRST_ID = 5_000_000_000_000_000


@dataclass(frozen=True, slots=True)
class MemoryQuery:
    """A query over the entries that `MemoryQueries` keeps under a kind, whatever they are.

    Attributes:
        kind: The kind.
        order: Name of the item by which the entries, which are mappings then, are sorted.
    """

    kind: str
    order: str = ""

    def told(self, *, keys_only: bool = False) -> Told:
        """Return the query as plain values, as `adjourn.gcp.queries` tells Google's."""
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
    """Queries in memory, which find the entries that they were given as Datastore finds entities.

    They understand `MemoryQuery`, and whatever google-cloud-datastore's queries say. An entry is
    an entity, of which copies are kept and given out, or anything else. That has no key: it is
    kept as it is, and stands behind the entities of its kind, in the order of being added.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._kinds: dict[str, dict[Reference, object]] = {}

    def add(self, kind: str, *entries: object) -> None:
        """Let the queries of a kind find further entries.

        An entity takes the place of the one with its key, and is given an id if it has none.

        Args:
            kind: The kind.
            *entries: Entities of that kind, mappings, or anything else.

        Raises:
            ValueError: An entity is of another kind, or has a value that Datastore cannot keep.
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
        return [_copied(kept[each]) for each in sorted(kept, key=lambda ref: path_in(kind, ref))]

    def remove(self, kind: str, entry: object) -> None:
        """Let the queries of a kind find an entity, or an entry and its equals, no more.

        Raises:
            ValueError: There is none.
        """
        kept = self._kinds.get(kind, {})
        if (reference := _reference(kept, entry)) is None:
            raise ValueError(f"{entry!r:.200} is none of the entries of the kind {kind!r}.")
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
    ) -> Told:
        """Return what a `MemoryQuery`, or one of google-cloud-datastore, says.

        Raises:
            DeclarationError: It is none, or could not be resumed in Datastore.
        """
        if isinstance(query, MemoryQuery):
            cursors = {"start_cursor": start_cursor or "", "end_cursor": end_cursor or ""}
            return {**query.told(keys_only=keys_only), **cursors, "limit": limit}
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

    def warnings(self, query: Told) -> Sequence[str]:
        """Name the properties whose values must not change."""
        return queries.warnings(query)

    def page(self, query: Told, *, cursor: str, limit: int) -> Page:
        """Return the results behind a position."""
        plan = plan_of(query)
        found = results(query, plan, self._kinds, cursor)
        return Page(
            entries=[shown(query, plan, each) for each in found[:limit]],
            cursors=[plan.cursor(each.row) for each in found[:limit]],
            more=len(found) > limit,
        )

    def count(self, query: Told) -> int:
        """Return how many results there are."""
        count = len(results(query, plan_of(query), self._kinds))
        return count if query["limit"] is None else min(count, query["limit"])

    def split(self, query: Told, pieces: int) -> Split:
        """Cut the query at the paths of entries."""
        reason = queries.unsplittable(query)
        found = [] if reason else results(query, plan_of(query), self._kinds)
        number = min(pieces, len(found))
        if reason or number <= 1:
            return Split(pieces=[query], reason=reason or "it has fewer than two entities")
        cuts: list[Any] = [found[len(found) * n // number].row[-1] for n in range(1, number)]
        ends = itertools.pairwise([None, *cuts, None])
        return Split(pieces=[queries.between(query, low, high) for low, high in ends])

    def refer(self, query: Told, entry: object) -> object:
        """Return the key of an entity, the number of another entry, 0 if it is gone."""
        if is_projected(query):
            return entry
        return key_of(entry) or next((ref for _, ref, _ in self._stored([entry])), 0)

    def find(self, query: Told, references: Sequence[object]) -> Sequence[object | None]:
        """Return the entries as they are now."""
        if is_projected(query):
            return references
        found = {ref: each for kept in self._kinds.values() for ref, each in kept.items()}
        return [as_found(query, found[ref]) if ref in found else None for ref in references]

    def delete(self, entries: Sequence[object]) -> None:
        """Forget entries, of whatever kind."""
        for kept, reference, _ in self._stored(entries):
            del kept[reference]

    def change(
        self, entries: Sequence[object], function: Callable[[Any], object]
    ) -> Sequence[Exception | None]:
        """Put a changed copy in the place of each entry."""
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
        """Yield where each entry is kept, under what, and its place in the sequence."""
        for number, entry in enumerate(entries):
            for kept in self._kinds.values():
                if (reference := _reference(kept, entry)) is not None:
                    yield kept, reference, number
                    break


def _reference(kept: dict[Reference, object], entry: object) -> Reference | None:
    """Return what an entry is kept under, None if it is not; of equals, the very object first."""
    key = key_of(entry)
    if key is not None:
        return key if key in kept else None
    same = (ref for ref, each in kept.items() if each is entry)
    equal = (ref for ref, each in kept.items() if each == entry)
    return next(itertools.chain(same, equal), None)


def _copied(entry: Any) -> Any:
    """Return a copy of an entity, and anything else as it is."""
    return entry if key_of(entry) is None else as_read(entry)
