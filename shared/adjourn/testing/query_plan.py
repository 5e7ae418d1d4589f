"""The plan of a query in memory: its index rows, their order and their cursors.

An entry has an index row for each combination of its values of the properties in the order. It has
none if it lacks one of these properties.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from adjourn.errors import StoreRefusedError
from adjourn.gcp.described_queries import KEY, DescribedQuery
from adjourn.testing.index_values import Ranked
from adjourn.testing.query_filters import Comparison, Conjunction, conjunctions

Row = Sequence[Ranked]
Position = list[Any]


class SortOrder(NamedTuple):
    """A property by which a query is ordered."""

    name: str
    descending: bool


@dataclass(frozen=True, slots=True)
class Descending:
    """A ranked value in descending order."""

    value: Ranked

    def __lt__(self, other: Descending) -> bool:
        return other.value < self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryPlan:
    """A query that can be run in memory.

    Attributes:
        conjunctions: An entry must match one of them.
        order: The whole order: also what filters, projection and grouping imply, and the key last.
        groups: Number of values at the start of a row that make a result distinct; 0 for all.
    """

    conjunctions: Sequence[Conjunction]
    order: Sequence[SortOrder]
    groups: int

    @property
    def names(self) -> set[str]:
        """Names of the properties that are filtered or ordered by, without the key."""
        checked = {check.name for each in self.conjunctions for check in each}
        return {*checked, *(order.name for order in self.order)} - {KEY}

    def rows(self, values: Mapping[str, Sequence[Ranked]]) -> Iterator[Row]:
        """Yield the index rows of an entry: values in the query's order, the key last."""
        for checks in self.conjunctions:
            choices = _choices(checks, values) if checks else values
            yield from itertools.product(*[choices.get(name, ()) for name, _ in self.order])

    def position(self, row: Row) -> Position:
        """Return a sort key for a row in the order of this query."""
        pairs = zip(row, self.order, strict=True)
        return [Descending(value) if descending else value for value, (_, descending) in pairs]

    def cursor(self, row: Row) -> str:
        """Return the cursor of a row."""
        return json.dumps([self._mark, row])

    def read(self, cursor: str) -> Row:
        """Return the row of a cursor.

        Raises:
            StoreRefusedError: The cursor is of another query.
        """
        with suppress(TypeError, ValueError):  # not JSON, or JSON of another form
            mark, row = json.loads(cursor)
            if mark == self._mark:
                return list(row)
        raise StoreRefusedError(
            f"{cursor!r:.200} is not a cursor of this query in memory; take one"
            " that box.queries.page(...) returned for the same order."
        )

    @property
    def _mark(self) -> list[list[Any]]:
        return [list(each) for each in self.order]


def plan_of(query: DescribedQuery) -> QueryPlan:
    """Return the plan of a query.

    Raises:
        StoreRefusedError: Datastore would refuse it.
    """
    found = conjunctions(query["filters"])
    checks = [check for each in found for check in each]
    asked = [SortOrder(name.removeprefix("-"), name.startswith("-")) for name in query["order"]]
    equated = {check.name for check in checks if check.is_equality}
    _check_order(asked, query["distinct_on"])
    _check_index_values(equated, query)
    if query["kind"] is None:
        _check_kindless({check.name for check in checks}, query)
    uneven = {check.name for check in checks if check.sign != "="}
    implied = [
        *query["distinct_on"],
        *sorted(uneven, key=lambda name: (name == KEY, name)),
        *sorted({*query["projection"]} - {KEY}),
    ]
    order = _whole_order(asked, implied)
    groups = sum(each.name in query["distinct_on"] for each in order)
    return QueryPlan(conjunctions=found, order=order, groups=groups)


def _check_order(asked: Sequence[SortOrder], distinct_on: Sequence[str]) -> None:
    names = [order.name for order in asked]
    if len(set(names)) < len(names):
        raise StoreRefusedError(
            f"Datastore refuses the order {', '.join(names)}, which names one twice."
        )
    if not set(names[: len(distinct_on)]) <= set(distinct_on):
        raise StoreRefusedError(
            f"Datastore refuses the order {', '.join(names)}: what is in distinct_on comes first."
        )


def _check_index_values(equated: set[str], query: DescribedQuery) -> None:
    for part in ("projection", "distinct_on"):
        names = query[part]
        if len(set(names)) < len(names):
            raise StoreRefusedError(f"Datastore refuses the {part} {names}, which names one twice.")
        if both := equated.intersection(names):
            raise StoreRefusedError(
                f"Datastore refuses {min(both)} in the {part}, since a filter fixes its value."
            )


def _check_kindless(names: set[str], query: DescribedQuery) -> None:
    asked = {*names, *query["order"], *query["projection"], *query["distinct_on"]} - {KEY}
    if asked:
        raise StoreRefusedError(
            f"Datastore refuses {min(asked)} in a query of all kinds; give a kind."
        )


def _whole_order(asked: Sequence[SortOrder], implied: Iterable[str]) -> list[SortOrder]:
    """Return the order with the implied properties, in the direction of the last one asked for."""
    descending = asked[-1].descending if asked else False
    known = {order.name for order in asked}
    more = [name for name in dict.fromkeys(implied) if name not in known]
    return [*asked, *(SortOrder(name, descending) for name in more), SortOrder(KEY, descending)]


def _choices(
    checks: Conjunction, values: Mapping[str, Sequence[Ranked]]
) -> Mapping[str, Sequence[Ranked]]:
    """Return the values of an entry that meet all checks; none if a check is met by no value."""
    ranges = [check for check in checks if not check.is_equality]
    found = {
        name: [each for each in some if _meets(name, each, ranges)] for name, some in values.items()
    }
    fixed = sorted(check for check in checks if check.is_equality)
    if any(check.operand not in found.get(check.name, ()) for check in fixed):
        return {}
    return found | {check.name: [check.operand] for check in fixed}


def _meets(name: str, value: Ranked, checks: Iterable[Comparison]) -> bool:
    return all(check.matches(value) for check in checks if check.name == name)
