"""The results that a query has among entries in memory."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adjourn.gcp.described_queries import KEY, Told, is_projected
from adjourn.gcp.roundtrip import as_read, with_values
from adjourn.testing.plans import Plan, Position, Row
from adjourn.testing.values import Ranked, key_of, path_of, projected, ranked, scalars

Reference = Any
"""What an entry is kept under: the key of an entity, or the number of another entry."""

Kinds = Mapping[str, Mapping[Reference, object]]


@dataclass(frozen=True, slots=True)
class Result:
    """An entry with its number among all, and the row by which it is a result."""

    position: Position
    row: Row
    number: int
    entry: object


def results(told: Told, plan: Plan, kinds: Kinds, cursor: str = "") -> list[Result]:
    """Return the results of a query between its cursors, or behind another one, in order.

    Raises:
        StoreError: A cursor is of another query.
    """
    start, end = cursor or told["start_cursor"], told["end_cursor"]
    after, until = plan.read(start) if start else None, plan.read(end) if end else None
    seen = {_sign(told, plan, after)} if after and plan.groups else set[Hashable]()
    found = []
    for each in sorted(_rows(told, plan, kinds), key=lambda each: each.position):
        sign = _sign(told, plan, each.row, each.number)
        if sign not in seen:
            seen.add(sign)
            found.append(each)
    if after:
        found = [each for each in found if plan.position(after) < each.position]
    if until:
        found = [each for each in found if not plan.position(until) < each.position]
    return found


def shown(told: Told, plan: Plan, result: Result) -> object:
    """Return a result as the query gives it: whole, without values, or with some of them."""
    names = {*told["projection"]} - {KEY}
    if not names:
        return as_found(told, result.entry)
    row = dict(zip((order.name for order in plan.order), result.row, strict=True))
    values = {
        name: next(projected(each) for each in found if ranked(each) == row[name])
        for name, found in scalars(result.entry, names).items()
    }
    key = key_of(result.entry)
    return values if key is None else with_values(key, values)


def as_found(told: Told, entry: Any) -> object:
    """Return a copy of an entity, without its values if keys are enough; others as they are."""
    key = key_of(entry)
    if key is None:
        return entry
    return with_values(key, {}) if told["projection"] else as_read(entry)


def path_in(kind: str, reference: Reference) -> Ranked:
    """Return the path under which an entry of a kind is sorted."""
    return [[kind, 2, reference]] if isinstance(reference, int) else path_of(reference)


def _rows(told: Told, plan: Plan, kinds: Kinds) -> Iterator[Result]:
    ancestor = path_of(told["ancestor"]) if told["ancestor"] else []
    namespace, names = told["namespace"] or None, plan.names
    searched = list(kinds) if told["kind"] is None else [told["kind"]]
    pairs = ((kind, pair) for kind in searched for pair in kinds.get(kind, {}).items())
    for number, (kind, (reference, entry)) in enumerate(pairs):
        path = path_in(kind, reference)
        is_elsewhere = not isinstance(reference, int) and reference.namespace != namespace
        if is_elsewhere or path[: len(ancestor)] != ancestor:
            continue
        found = {k: [ranked(v) for v in vs] for k, vs in scalars(entry, names).items()}
        for row in plan.rows({**found, KEY: [path]}):
            yield Result(plan.position(row), row, number, entry)


def _sign(told: Told, plan: Plan, row: Row, number: int = 0) -> Hashable:
    """Return what no two results have in common."""
    if plan.groups:
        return json.dumps(row[: plan.groups])
    return json.dumps(row) if is_projected(told) else number
