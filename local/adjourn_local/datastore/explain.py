"""Explain queries: write a query's plan and its cost into the response.

The formats are those of `google.cloud.datastore_v1.types.query_profile`.
"""

from typing import Any

from adjourn_local.datastore.indexes import Column
from adjourn_local.datastore.messages import EntityResult, RunAggregationQueryResponse
from adjourn_local.datastore.query_plan import QueryPlan, Scan

_NANOS = 1_000_000_000


def add_plan(metrics: Any, plan: QueryPlan) -> None:
    """Write the indexes of a plan into ExplainMetrics, without duplicates."""
    metrics.plan_summary.SetInParent()
    used = dict.fromkeys((_scope(scan), _properties(plan, scan)) for scan in plan.scans)
    for scope, text in used:
        metrics.plan_summary.indexes_used.add().update({"query_scope": scope, "properties": text})


def add_run(response: Any, seconds: float) -> None:
    """Write the cost of a query: a read for each entity, a single one for keys and sums."""
    batch, stats = response.batch, response.explain_metrics.execution_stats
    stats.execution_duration.FromNanoseconds(int(seconds * _NANOS))
    if isinstance(response, RunAggregationQueryResponse):
        stats.results_returned = stats.read_operations = 1
        return
    stats.results_returned = len(batch.entity_results)
    full = batch.entity_result_type == EntityResult.FULL
    read = stats.results_returned + batch.skipped_results
    stats.read_operations = max(read, 1) if full else 1


def _scope(scan: Scan) -> str:
    # https://cloud.google.com/datastore/docs/query-explain-analyze-report-reference
    has_ancestors = scan.index is not None and scan.index.shape.ancestor
    return "Includes ancestors" if has_ancestors else "Collection group"


def _properties(plan: QueryPlan, scan: Scan) -> str:
    columns = scan.index.shape.columns if scan.index else ()
    equal = len(scan.equals)
    # Rows are read backwards for a descending key; the direction of equalities does not matter.
    shown = [
        *columns[:equal],
        *(Column(c.name, c.descending != plan.reverse) for c in columns[equal:]),
        Column("__name__", plan.query.keys_descending),
    ]
    return f"({', '.join(f'{c.name} {_direction(c)}' for c in shown)})"


def _direction(column: Column) -> str:
    return "DESC" if column.descending else "ASC"
