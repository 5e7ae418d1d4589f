"""Run a plan: read its ranges in order, merge them, leave out what was already a result."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter

from adjourn_local.datastore import entities, keys
from adjourn_local.datastore.indexes import Index, rows_in, split_columns
from adjourn_local.datastore.messages import Entity
from adjourn_local.datastore.plan import Plan, Range, Scan
from adjourn_local.datastore.store import Row, Store, View

Hit = tuple[bytes, Scan, Row]
"""A result: its position, the scan that found it, its row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The part of a plan to run: after one position, up to and with another."""

    after: bytes | None = None
    until: bytes | None = None


def hits(store: Store, view: View, plan: Plan, window: Window, *, bare: bool) -> Iterator[Hit]:
    """Yield the results of a plan in order, each once.

    Args:
        store: The store.
        view: What to see of it.
        plan: The plan.
        window: Where to begin and to end.
        bare: Whether the rows suffice, without the entities.
    """
    sources = [_rows(store, view, plan, scan, window, bare=bare) for scan in plan.scans]
    if len(sources) == 1:
        merged = sources[0]
    else:
        merged = heapq.merge(*sources, key=itemgetter(0), reverse=plan.reverse)
    if plan.groups:
        return _first_of_groups(plan, window, merged)
    if plan.query.projection or plan.query.aggregated:
        return _distinct_positions(merged)
    return _distinct_entities(store, view, plan, window, merged)


def _rows(
    store: Store, view: View, plan: Plan, scan: Scan, window: Window, *, bare: bool
) -> Iterator[Hit]:
    size = len(scan.prefix)
    ranges = clipped(plan, scan, window)
    simple = not scan.checks and not scan.key_check and not scan.constants
    for low, high in reversed(ranges) if plan.reverse else ranges:
        for row in _read(store, view, plan, scan, low, high, bare=bare):
            suffix = row[0][size:]
            if simple:
                yield suffix, scan, row
            elif scan.accepts(suffix):
                yield scan.position(suffix), scan, row


def clipped(plan: Plan, scan: Scan, window: Window) -> list[Range]:
    """Return the ranges of a scan that lie within a window."""
    ranges = list(scan.ranges)
    for position, is_start in ((window.after, True), (window.until, False)):
        if position is None:
            continue
        columns, path = split_columns(position, plan.descending)
        cut = scan.cut(columns, path, after=not plan.reverse)
        if is_start != plan.reverse:
            ranges = [(max(low, cut), high) for low, high in ranges]
        else:
            ranges = [(low, min(high, cut)) for low, high in ranges]
    return [pair for pair in ranges if pair[0] < pair[1]]


def _read(
    store: Store, view: View, plan: Plan, scan: Scan, low: bytes, high: bytes, *, bare: bool
) -> Iterator[Row]:
    if scan.index is None:
        return store.scan_entities(view, low, high, reverse=plan.reverse)
    if scan.index.since > view.version:
        return _computed_rows(store, view, plan, scan.index, low, high)
    if bare:
        return store.scan_bare_rows(view, low, high, reverse=plan.reverse)
    return store.scan_rows(view, low, high, reverse=plan.reverse)


def _computed_rows(
    store: Store, view: View, plan: Plan, index: Index, low: bytes, high: bytes
) -> Iterator[Row]:
    """Yield what an index would hold in a view that is older than the index."""
    found = [
        (row, several, number)
        for number, rows in store.rows_of_kind(
            view, plan.query.partition, plan.query.kind or "", index
        )
        for row, several in rows.items()
        if low <= row < high
    ]
    for row, several, number in sorted(found, reverse=plan.reverse):
        yield row, int(several), *store.record(view, number)


def _first_of_groups(plan: Plan, window: Window, merged: Iterator[Hit]) -> Iterator[Hit]:
    last = plan.group(window.after) if window.after is not None else None
    for hit in merged:
        group = plan.group(hit[0])
        if group != last:
            last = group
            yield hit


def _distinct_positions(merged: Iterator[Hit]) -> Iterator[Hit]:
    last = None
    for hit in merged:
        if hit[0] != last:
            last = hit[0]
            yield hit


def _distinct_entities(
    store: Store, view: View, plan: Plan, window: Window, merged: Iterator[Hit]
) -> Iterator[Hit]:
    merging = len(plan.scans) > 1
    seen: set[int] = set()
    for hit in merged:
        row = hit[2]
        if merging or row[1]:
            if row[2] in seen:
                continue
            seen.add(row[2])
            if window.after is not None and _came_before(store, view, plan, window.after, row):
                continue
        yield hit


def _came_before(store: Store, view: View, plan: Plan, after: bytes, row: Row) -> bool:
    """Return whether an entity was already a result at or before the position `after`."""
    entity = Entity.FromString(row[6] or store.record(view, row[2]).body)
    found = entities.indexed_values(entity)
    path = keys.encode_path(entity.key.path)
    for scan in plan.scans:
        rows = rows_in(scan.index, path, found) if scan.index else {}
        for other in rows:
            if not any(low <= other < high for low, high in scan.ranges):
                continue
            suffix = other[len(scan.prefix) :]
            if scan.accepts(suffix):
                position = scan.position(suffix)
                if position >= after if plan.reverse else position <= after:
                    return True
    return False
