"""The results of a query among the entries in memory."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adjourn.gcp.datastore_values import as_read, with_values
from adjourn.gcp.described_queries import (
    KEY,
    DescribedQuery,
    is_of_application,
    is_projected,
)
from adjourn.testing.index_values import Ranked, key_of, path_of, projected, ranked, scalars
from adjourn.testing.query_plan import Position, QueryPlan, Row

Reference = Any
"""Under what an entry is stored: the key of an entity, or the number of another entry."""

Kinds = Mapping[str, Mapping[Reference, object]]


@dataclass(frozen=True, slots=True)
class QueryResult:
    """An entry that is a result: the row that matched, and the position of the row.

    Attributes:
        position: Sorts as the results do.
        row: The index row.
        number: Number of the entry among all searched entries.
        entry: The entry.
    """

    position: Position
    row: Row
    number: int
    entry: object


def query_results(
    query: DescribedQuery, plan: QueryPlan, kinds: Kinds, cursor: str = ""
) -> list[QueryResult]:
    """Return the results of a query in order, between its cursors.

    Args:
        query: The described query.
        plan: Its plan.
        kinds: All entries, by kind.
        cursor: Where to start instead of the query's start cursor.

    Raises:
        StoreError: A cursor is of another query.
    """
    start, end = cursor or query["start_cursor"], query["end_cursor"]
    after, until = plan.read(start) if start else None, plan.read(end) if end else None
    seen = {_identity(query, plan, after)} if after and plan.groups else set[Hashable]()
    found = []
    for each in sorted(_rows(query, plan, kinds), key=lambda each: each.position):
        identity = _identity(query, plan, each.row, each.number)
        if identity not in seen:
            seen.add(identity)
            found.append(each)
    if after:
        found = [each for each in found if plan.position(after) < each.position]
    if until:
        found = [each for each in found if not plan.position(until) < each.position]
    return found


def as_returned(query: DescribedQuery, plan: QueryPlan, result: QueryResult) -> object:
    """Return a result as the query returns it: whole, only its key, or projected."""
    names = {*query["projection"]} - {KEY}
    if not names:
        return as_found(query, result.entry)
    row = dict(zip((order.name for order in plan.order), result.row, strict=True))
    values = {
        name: next(projected(each) for each in found if ranked(each) == row[name])
        for name, found in scalars(result.entry, names).items()
    }
    key = key_of(result.entry)
    return values if key is None else with_values(key, values)


def as_found(query: DescribedQuery, entry: Any) -> object:
    """Return a copy of an entity, without values for a keys-only query; others as they are."""
    key = key_of(entry)
    if key is None:
        return entry
    return with_values(key, {}) if query["projection"] else as_read(entry)


def sort_path(kind: str, reference: Reference) -> Ranked:
    """Return the path under which an entry of a kind is sorted."""
    return [[kind, 2, reference]] if isinstance(reference, int) else path_of(reference)


def _rows(query: DescribedQuery, plan: QueryPlan, kinds: Kinds) -> Iterator[QueryResult]:
    ancestor = path_of(query["ancestor"]) if query["ancestor"] else []
    namespace, names = query["namespace"] or None, plan.names
    searched = list(kinds) if query["kind"] is None else [query["kind"]]
    pairs = ((kind, pair) for kind in searched for pair in kinds.get(kind, {}).items())
    for number, (kind, (reference, entry)) in enumerate(pairs):
        path = sort_path(kind, reference)
        is_entity = not isinstance(reference, int)
        is_elsewhere = is_entity and reference.namespace != namespace
        if query["kind"] is None and is_entity and not is_of_application(reference):
            continue
        if is_elsewhere or path[: len(ancestor)] != ancestor:
            continue
        found = {k: [ranked(v) for v in vs] for k, vs in scalars(entry, names).items()}
        for row in plan.rows({**found, KEY: [path]}):
            yield QueryResult(plan.position(row), row, number, entry)


def _identity(query: DescribedQuery, plan: QueryPlan, row: Row, number: int = 0) -> Hashable:
    """Return what identifies a result; of several with the same identity, one is returned."""
    if plan.groups:
        return json.dumps(row[: plan.groups])
    return json.dumps(row) if is_projected(query) else number
