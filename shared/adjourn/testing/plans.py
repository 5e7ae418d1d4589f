"""What a query comes to: which rows its entries have, and where they stand in its order.

An entry has a row for each combination of its values by which the query is ordered, and so none if
it lacks one of them.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from adjourn.errors import StoreError
from adjourn.gcp.described_queries import KEY, Told
from adjourn.testing.filters import Check, Conjunction, conjunctions
from adjourn.testing.values import Ranked

Row = Sequence[Ranked]
Position = list[Any]


class Order(NamedTuple):
    """A property by which a query is ordered."""

    name: str
    falling: bool


@dataclass(frozen=True, slots=True)
class Falling:
    """A ranked value in an order that runs backwards."""

    value: Ranked

    def __lt__(self, other: Falling) -> bool:
        return other.value < self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A query that can be run.

    Attributes:
        conjunctions: An entry has to meet one of them.
        order: Whole: with what filters, projection and grouping imply, the key at its end.
        groups: How many of a row's values make a result distinct; 0 for all.
    """

    conjunctions: Sequence[Conjunction]
    order: Sequence[Order]
    groups: int

    @property
    def names(self) -> set[str]:
        """The properties that matter."""
        checked = {check.name for each in self.conjunctions for check in each}
        return {*checked, *(order.name for order in self.order)} - {KEY}

    def rows(self, values: Mapping[str, Sequence[Ranked]]) -> Iterator[Row]:
        """Yield the rows of an entry: its values, that of its key last, in the query's order."""
        for checks in self.conjunctions:
            choices = _choices(checks, values) if checks else values
            yield from itertools.product(*[choices.get(name, ()) for name, _ in self.order])

    def position(self, row: Row) -> Position:
        """Return what sorts as the rows of this query do."""
        pairs = zip(row, self.order, strict=True)
        return [Falling(value) if falling else value for value, (_, falling) in pairs]

    def cursor(self, row: Row) -> str:
        """Return a cursor that tells a row."""
        return json.dumps([self._mark, row])

    def read(self, cursor: str) -> Row:
        """Return the row that a cursor tells.

        Raises:
            StoreError: It is of another query.
        """
        with suppress(TypeError, ValueError):  # what is no JSON at all, or of another form
            mark, row = json.loads(cursor)
            if mark == self._mark:
                return list(row)
        raise StoreError(
            f"{cursor!r:.200} is not a cursor of this query in memory; take what"
            " box.queries.page(...) gives for the same order."
        )

    @property
    def _mark(self) -> list[list[Any]]:
        return [list(each) for each in self.order]


def plan_of(told: Told) -> Plan:
    """Return what a query comes to.

    Raises:
        StoreError: Datastore would refuse it.
    """
    found = conjunctions(told["filters"])
    checks = [check for each in found for check in each]
    asked = [Order(name.removeprefix("-"), name.startswith("-")) for name in told["order"]]
    equated = {check.name for check in checks if check.fixes}
    _check_order(asked, told["distinct_on"])
    _check_index_values(equated, told)
    if told["kind"] is None:
        _check_kindless({check.name for check in checks}, told)
    uneven = {check.name for check in checks if check.sign != "="}
    implied = [
        *told["distinct_on"],
        *sorted(uneven, key=lambda name: (name == KEY, name)),
        *sorted({*told["projection"]} - {KEY}),
    ]
    order = _whole_order(asked, implied)
    groups = sum(each.name in told["distinct_on"] for each in order)
    return Plan(conjunctions=found, order=order, groups=groups)


def _check_order(asked: Sequence[Order], distinct_on: Sequence[str]) -> None:
    names = [order.name for order in asked]
    if len(set(names)) < len(names):
        raise StoreError(f"Datastore refuses the order {', '.join(names)}, which names one twice.")
    if not set(names[: len(distinct_on)]) <= set(distinct_on):
        raise StoreError(
            f"Datastore refuses the order {', '.join(names)}: what is in distinct_on comes first."
        )


def _check_index_values(equated: set[str], told: Told) -> None:
    for part in ("projection", "distinct_on"):
        names = told[part]
        if len(set(names)) < len(names):
            raise StoreError(f"Datastore refuses the {part} {names}, which names one twice.")
        if both := equated.intersection(names):
            raise StoreError(
                f"Datastore refuses {min(both)} in the {part}, since a filter fixes its value."
            )


def _check_kindless(names: set[str], told: Told) -> None:
    asked = {*names, *told["order"], *told["projection"], *told["distinct_on"]} - {KEY}
    if asked:
        raise StoreError(f"Datastore refuses {min(asked)} in a query of all kinds; give a kind.")


def _whole_order(asked: Sequence[Order], implied: Iterable[str]) -> list[Order]:
    """Return the order with what is implied, which runs as the last that was asked for does."""
    falling = asked[-1].falling if asked else False
    known = {order.name for order in asked}
    more = [name for name in dict.fromkeys(implied) if name not in known]
    return [*asked, *(Order(name, falling) for name in more), Order(KEY, falling)]


def _choices(
    checks: Conjunction, values: Mapping[str, Sequence[Ranked]]
) -> Mapping[str, Sequence[Ranked]]:
    """Return those of an entry's values that meet all checks; nothing if one is not met at all."""
    ranges = [check for check in checks if not check.fixes]
    found = {
        name: [each for each in some if _meets(name, each, ranges)] for name, some in values.items()
    }
    fixed = sorted(check for check in checks if check.fixes)
    if any(check.operand not in found.get(check.name, ()) for check in fixed):
        return {}
    return found | {check.name: [check.operand] for check in fixed}


def _meets(name: str, value: Ranked, checks: Iterable[Check]) -> bool:
    return all(check.meets(value) for check in checks if check.name == name)
