"""PlanRun a plan: read its ranges in order, merge them, and drop duplicates."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter

from adjourn_local.datastore import entities, keys, metadata
from adjourn_local.datastore.entity_records import Row
from adjourn_local.datastore.entity_tables import EntityTables
from adjourn_local.datastore.indexes import Index, rows_in, split_columns
from adjourn_local.datastore.messages import Entity
from adjourn_local.datastore.query import METADATA_KINDS
from adjourn_local.datastore.query_plan import QueryPlan, Range, Scan
from adjourn_local.datastore.view import Source, View

Hit = tuple[bytes, Scan, Row]
"""A result: its position, the scan that found it, its row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The part of a plan's results to return: after a position, up to and including another."""

    after: bytes | None = None
    until: bytes | None = None


def clipped(plan: QueryPlan, scan: Scan, window: Window) -> list[Range]:
    """Return the ranges of a scan within a window."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRun:
    """One run of a plan in a view; `rows_only` if index rows suffice, without entities."""

    store: EntityTables
    view: View
    plan: QueryPlan
    window: Window
    rows_only: bool

    def hits(self) -> Iterator[Hit]:
        """Yield the results in order, without duplicates."""
        query = self.plan.query
        sources = [self._matches(scan) for scan in self.plan.scans]
        if len(sources) == 1:
            merged = sources[0]
        else:
            merged = heapq.merge(*sources, key=itemgetter(0), reverse=self.plan.reverse)
        if self.plan.groups:
            return self._first_of_groups(merged)
        if query.projection or query.aggregated:
            return _distinct_positions(merged)
        return self._distinct_entities(merged)

    def _matches(self, scan: Scan) -> Iterator[Hit]:
        size = len(scan.prefix)
        ranges = clipped(self.plan, scan, self.window)
        simple = not scan.checks and not scan.key_check and not scan.constants
        for low, high in reversed(ranges) if self.plan.reverse else ranges:
            for row in self._rows(scan.index, low, high):
                suffix = row[0][size:]
                if simple:
                    yield suffix, scan, row
                elif scan.accepts(suffix):
                    yield scan.position(suffix), scan, row

    def _rows(self, index: Index | None, low: bytes, high: bytes) -> Iterator[Row]:
        query = self.plan.query
        if query.kind in METADATA_KINDS:
            return self._metadata_rows(query.kind, low, high)
        if index is None:
            source = Source.ENTITIES
        elif index.since > self.view.version:
            return self._computed_rows(index, low, high)
        else:
            source = Source.ROWS_ONLY if self.rows_only else Source.ROWS
        return self.view.scan(source, low, high, reverse=self.plan.reverse)

    def _metadata_rows(self, kind: str, low: bytes, high: bytes) -> Iterator[Row]:
        made = metadata.rows(self.store, self.view, self.plan.query.partition, kind)
        found = [row for row in made if low <= row[0] < high]
        return reversed(found) if self.plan.reverse else iter(found)

    def _computed_rows(self, index: Index, low: bytes, high: bytes) -> Iterator[Row]:
        """Yield the rows that an index would have in a view that is older than the index."""
        query = self.plan.query
        entities_rows = self.store.rows_of_kind(self.view, query.partition, query.kind or "", index)
        found = [
            (row, several, number)
            for number, rows in entities_rows
            for row, several in rows.items()
            if low <= row < high
        ]
        for row, several, number in sorted(found, reverse=self.plan.reverse):
            yield row, int(several), *self.view.record(number)

    def _first_of_groups(self, merged: Iterator[Hit]) -> Iterator[Hit]:
        after = self.window.after
        last = None if after is None else self.plan.group(after)
        for hit in merged:
            group = self.plan.group(hit[0])
            if group != last:
                last = group
                yield hit

    def _distinct_entities(self, merged: Iterator[Hit]) -> Iterator[Hit]:
        merging = len(self.plan.scans) > 1
        seen: set[int] = set()
        for hit in merged:
            row = hit[2]
            if merging or row[1]:
                if row[2] in seen:
                    continue
                seen.add(row[2])
                if self._came_before_window(row):
                    continue
            yield hit

    def _came_before_window(self, row: Row) -> bool:
        """Return whether an entity was already a result before the window."""
        after = self.window.after
        if after is None:
            return False
        entity = Entity.FromString(row[6] or self.view.record(row[2]).body)
        found = entities.indexed_values(entity)
        path = keys.encode_path(entity.key.path)
        positions = [
            position
            for scan in self.plan.scans
            if scan.index
            for other in rows_in(scan.index, path, found)
            if (position := scan.match(other)) is not None
        ]
        if self.plan.reverse:
            return any(position >= after for position in positions)
        return any(position <= after for position in positions)


def _distinct_positions(merged: Iterator[Hit]) -> Iterator[Hit]:
    last = None
    for hit in merged:
        if hit[0] != last:
            last = hit[0]
            yield hit
