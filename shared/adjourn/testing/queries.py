"""Queries in memory."""

from __future__ import annotations

import copy
import itertools
import json
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from adjourn.errors import DeclarationError
from adjourn.ports import Page, Split
from adjourn.testing.filters import matches, understood

_Row = tuple[Any, object]
"""A position (the place, or the value that sorts and the place) and the entry there."""


@dataclass(frozen=True, slots=True)
class MemoryQuery:
    """A query over the entries that `MemoryQueries` keeps under a kind, whatever they are.

    Attributes:
        kind: The kind.
        order: Name of the item by which the entries, which are mappings then, are sorted.
    """

    kind: str
    order: str = ""


class MemoryQueries:
    """Queries in memory: the entries of a kind, in the order in which they were added.

    They understand `MemoryQuery`, and of Google's queries kind, filters and one ascending order by
    numbers or texts. Orders by key are those in which entries were added.
    """

    def __init__(self) -> None:
        self._places = itertools.count(1)
        self._kinds: dict[str, dict[int, object]] = {}

    def add(self, kind: str, *entries: object) -> None:
        """Let the queries of a kind find further entries, behind those that are there."""
        self._kinds.setdefault(kind, {}).update(zip(self._places, entries, strict=False))

    def remove(self, kind: str, entry: object) -> None:
        """Let the queries of a kind find an entry no more."""
        kept = {at: each for at, each in self._kinds[kind].items() if each != entry}
        self._kinds[kind] = kept

    def describe(
        self,
        query: object,
        *,
        limit: int | None = None,
        start_cursor: str | bytes | None = None,
        end_cursor: str | bytes | None = None,
        keys_only: bool = False,  # noqa: ARG002 - entries have no keys of their own
    ) -> Mapping[str, object]:
        """Return what a `MemoryQuery`, or one of google-cloud-datastore, says.

        Raises:
            DeclarationError: It is none, or one that is not understood here.
        """
        told = _told(query)
        cursors = {"start_cursor": start_cursor or "", "end_cursor": end_cursor or ""}
        return {**told, "limit": limit, **cursors, "after": 0, "until": None}

    def warnings(self, query: Mapping[str, object]) -> Sequence[str]:
        """Say what an order leads to."""
        order = query["order"]
        return [f"ordered by {order}, which must not be changed meanwhile"] if order else []

    def page(self, query: Mapping[str, object], *, cursor: str, limit: int) -> Page:
        """Return a slice of the entries."""
        rows = self._rows(query)
        behind = _behind(rows, cursor) if cursor else rows
        return Page(
            entries=[entry for _, entry in behind[:limit]],
            cursors=[json.dumps(at) for at, _ in behind[:limit]],
            more=len(behind) > limit,
        )

    def count(self, query: Mapping[str, Any]) -> int:
        """Return how many entries there are."""
        count = len(self._rows(query))
        return count if query["limit"] is None else min(count, query["limit"])

    def split(self, query: Mapping[str, Any], pieces: int) -> Split:
        """Cut the entries into slices of the same size."""
        rows = self._rows(query)
        for name in ("order", "limit", "start_cursor", "end_cursor"):
            if query[name]:
                return Split(pieces=[query], reason=f"it has the {name} {query[name]}")
        number = min(pieces, len(rows))
        if number <= 1:
            return Split(pieces=[query], reason="it has fewer than two entries")
        ends = [rows[len(rows) * n // number - 1][0] for n in range(1, number)]
        cuts = itertools.pairwise([query["after"], *ends, query["until"]])
        return Split(pieces=[{**query, "after": low, "until": high} for low, high in cuts])

    def refer(self, query: Mapping[str, object], entry: object) -> object:
        """Return the place of an entry, 0 if it has none."""
        entries = self._entries(query)
        same = (at for at, each in entries.items() if each is entry)
        equal = (at for at, each in entries.items() if each == entry)
        return next(itertools.chain(same, equal), 0)

    def find(
        self, query: Mapping[str, object], references: Sequence[object]
    ) -> Sequence[object | None]:
        """Return the entries at some places."""
        entries: Mapping[Any, object] = self._entries(query)
        return [entries.get(at) for at in references]

    def delete(self, entries: Sequence[object]) -> None:
        """Forget entries, of whatever kind."""
        for kept, at, _ in self._stored(entries):
            kept.pop(at, None)

    def change(
        self, entries: Sequence[object], function: Callable[[Any], object]
    ) -> Sequence[Exception | None]:
        """Put a changed copy in the place of each entry."""
        failed: dict[int, Exception] = {}
        for kept, at, number in self._stored(entries):
            changed = copy.deepcopy(kept[at])
            try:
                if function(changed) is not False:
                    kept[at] = changed
            except Exception as error:  # noqa: BLE001 - whatever the user's code raises
                failed[number] = error
        return [failed.get(number) for number in range(len(entries))]

    def _stored(self, entries: Sequence[object]) -> Iterator[tuple[dict[int, object], int, int]]:
        """Yield where entries are, and their places in the sequence; entities go by their keys."""
        for number, entry in enumerate(entries):
            wanted = getattr(entry, "key", entry)
            for kept in self._kinds.values():
                at = next((n for n, e in kept.items() if getattr(e, "key", e) == wanted), None)
                if at is not None:
                    yield kept, at, number
                    break

    def _entries(self, query: Mapping[str, object]) -> dict[int, object]:
        return self._kinds.get(str(query["kind"]), {})

    def _rows(self, query: Mapping[str, Any]) -> list[_Row]:
        """Return the rows of a query between its cursors, in order."""
        rows = sorted(self._sorted_by(query), key=lambda row: row[0])
        start, end = query["start_cursor"], query["end_cursor"]
        if end:
            rows = rows[: len(rows) - len(_behind(rows, end))]
        return _behind(rows, start) if start else rows

    def _sorted_by(self, query: Mapping[str, Any]) -> Iterator[_Row]:
        order, until = query["order"], query["until"]
        for at, entry in self._entries(query).items():
            value: Any = entry
            is_within = at > query["after"] and (until is None or at <= until)
            if is_within and all(matches(each, value) for each in query["filters"]):
                if not order:
                    yield at, entry
                elif order in value:
                    yield [value[order], at], entry


def _told(query: object) -> Mapping[str, object]:
    if isinstance(query, MemoryQuery):
        return {**asdict(query), "filters": []}
    if not hasattr(query, "add_filter"):
        raise DeclarationError(f"{query!r} is not a MemoryQuery, nor a query of Google's client.")
    return understood(query)


def _behind(rows: list[_Row], cursor: str) -> list[_Row]:
    return rows[bisect_right(rows, json.loads(cursor), key=lambda row: row[0]) :]
