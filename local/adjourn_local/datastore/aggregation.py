"""Serve RunAggregationQuery: counts, sums and averages over the results of a query."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from adjourn_local.datastore import index_values
from adjourn_local.datastore.entity_tables import EntityTables
from adjourn_local.datastore.indexes import KEY
from adjourn_local.datastore.keys import Partition, is_reserved
from adjourn_local.datastore.messages import (
    QueryResultBatch,
    RunAggregationQueryResponse,
    Value,
    invalid,
)
from adjourn_local.datastore.query_plan import QueryPlan
from adjourn_local.datastore.reads import Reader
from adjourn_local.datastore.scan import Hit, PlanRun, Window, clipped
from adjourn_local.datastore.view import View

_MAX_AGGREGATIONS = 5
_MAX_INTEGER = (1 << 63) - 1
_MIN_INTEGER = -(1 << 63)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Aggregate:
    alias: str
    operator: str
    name: str
    up_to: int | None


class Aggregator:
    """Computes aggregations; they read index rows alone, without entities."""

    def __init__(self, store: EntityTables, reader: Reader) -> None:
        self._store = store
        self._reader = reader

    def run(self, request: Any, view: View, partition: Partition) -> Any:
        """Return the response to a RunAggregationQueryRequest."""
        message = request.aggregation_query
        aggregates = _aggregates(message.aggregations)
        names = _names(aggregates)
        plan = self._reader.plan(message.nested_query, partition, names)
        window = self._reader.window(plan, message.nested_query)
        response = RunAggregationQueryResponse()
        result = response.batch.aggregation_results.add()
        if not names and (count := self._quick_count(plan, view, window)) is not None:
            rows = _sliced_count(count, message.nested_query)
            for aggregate in aggregates:
                number = rows if aggregate.up_to is None else min(rows, aggregate.up_to)
                result.aggregate_properties[aggregate.alias].integer_value = number
        else:
            run = PlanRun(store=self._store, view=view, plan=plan, window=window, rows_only=True)
            found = _sliced(run.hits(), message.nested_query)
            self._collect(plan, aggregates, found, result)
        response.batch.more_results = QueryResultBatch.NO_MORE_RESULTS
        return response

    def plan(self, message: Any, partition: Partition) -> QueryPlan:
        """Return the plan of an AggregationQuery."""
        names = _names(_aggregates(message.aggregations))
        return self._reader.plan(message.nested_query, partition, names)

    def _quick_count(self, plan: QueryPlan, view: View, window: Window) -> int | None:
        """Return the number of results if SQLite can count the index rows, else None."""
        if not plan.scans:
            return 0
        scan = plan.scans[0]
        index = scan.index
        if len(plan.scans) > 1 or plan.groups or plan.query.projection or index is None:
            return None
        if scan.checks or scan.key_check or index.since > view.version or window.after is not None:
            return None
        ranges = clipped(plan, scan, window)
        if len(ranges) > 1:
            return None
        return sum(view.count_entities(low, high) for low, high in ranges)

    def _collect(
        self, plan: QueryPlan, aggregates: list[_Aggregate], found: Iterator[Hit], result: Any
    ) -> None:
        names = [a.name for a in aggregates if a.name]
        numbers: dict[str, list[int | float]] = {name: [] for name in names}
        count = 0
        for position, scan, _ in found:
            count += 1
            if names:
                row = plan.row_values(position, scan)
                for name, collected in numbers.items():
                    collected.extend(_numbers(row.get(name)))
        for aggregate in aggregates:
            value = result.aggregate_properties[aggregate.alias]
            if aggregate.operator == "count":
                value.integer_value = (
                    count if aggregate.up_to is None else min(count, aggregate.up_to)
                )
            else:
                value.CopyFrom(_OPERATORS[aggregate.operator](numbers[aggregate.name]))


def _names(aggregates: list[_Aggregate]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.name for one in aggregates if one.name))


def _aggregates(messages: Any) -> list[_Aggregate]:
    if not messages:
        raise invalid("Aggregations can not be empty.")
    if len(messages) > _MAX_AGGREGATIONS:
        raise invalid(f"A query can have at most {_MAX_AGGREGATIONS} aggregations.")
    found: list[_Aggregate] = []
    unnamed = 0
    for message in messages:
        alias = message.alias
        if not alias:
            unnamed += 1
            alias = f"property_{unnamed}"
        if is_reserved(alias):
            raise invalid(f'The aggregation alias "{alias}" is reserved.')
        if alias in {one.alias for one in found}:
            raise invalid(f"Aggregation aliases contain duplicate alias: {alias}.")
        found.append(_aggregate(message, alias))
    return found


def _aggregate(message: Any, alias: str) -> _Aggregate:
    operator = message.WhichOneof("operator")
    if operator is None:
        raise invalid("An aggregation needs an operator.")
    name, up_to = "", None
    if operator == "count":
        if message.count.HasField("up_to"):
            up_to = message.count.up_to.value
        if up_to is not None and up_to < 0:
            raise invalid(
                "The `up_to` value in a COUNT aggregation must be greater than or equal to zero."
            )
    else:
        name = getattr(message, operator).property.name
        if not name or name == KEY:
            raise invalid(f"Aggregations are not supported for the property: {name}")
    return _Aggregate(alias=alias, operator=operator, name=name, up_to=up_to)


def _sliced(found: Iterator[Hit], message: Any) -> Iterator[Hit]:
    limit = message.limit.value if message.HasField("limit") else math.inf
    for number, hit in enumerate(found):
        if number >= message.offset + limit:
            return
        if number >= message.offset:
            yield hit


def _sliced_count(count: int, message: Any) -> int:
    rest: int = max(0, count - message.offset)
    limit: int = message.limit.value
    return min(rest, limit) if message.HasField("limit") else rest


def _numbers(encoded: bytes | None) -> Iterator[int | float]:
    if encoded is not None:
        value = index_values.decode(encoded)
        which = value.WhichOneof("value_type")
        if which in {"integer_value", "double_value"}:
            yield getattr(value, which)


def _sum(numbers: list[int | float]) -> Any:
    total = sum(numbers)
    if isinstance(total, int) and _MIN_INTEGER <= total <= _MAX_INTEGER:
        return Value(integer_value=total)
    return Value(double_value=float(total))


def _avg(numbers: list[int | float]) -> Any:
    if not numbers:
        return Value(null_value=0)
    return Value(double_value=sum(numbers) / len(numbers))


_OPERATORS = {"sum": _sum, "avg": _avg}
