"""Plan a query: the index, the byte ranges and the direction of each range scan."""

from collections.abc import Callable
from dataclasses import dataclass

from adjourn_local.datastore import index_values, keys
from adjourn_local.datastore.indexes import KEY, Column, Index, Shape, split_columns
from adjourn_local.datastore.query import METADATA_KINDS, Query
from adjourn_local.datastore.query_filters import Alternative, Cut, Interval, Intervals, contains

Range = tuple[bytes, bytes]
_AFTER_ALL = b"\xff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One alternative of a query, as byte ranges of an index, or of the entities without an index.

    A row is `prefix`, the varying columns, and the key path. `constants` has an element for each
    column of the query's order: its value if it is constant here, None if it varies.
    """

    index: Index | None
    prefix: bytes
    ranges: tuple[Range, ...]
    descending: tuple[bool, ...]
    constants: tuple[bytes | None, ...] = ()
    checks: tuple[tuple[int, Intervals], ...] = ()
    key_check: Intervals = ()
    equals: tuple[tuple[str, bytes], ...] = ()

    def accepts(self, suffix: bytes) -> bool:
        """Return whether a row in the ranges satisfies the comparisons outside of the ranges."""
        if not self.checks and not self.key_check:
            return True
        columns, path = split_columns(suffix, self.descending)
        for at, intervals in self.checks:
            stored = columns[at]
            value = index_values.invert(stored) if self.descending[at] else stored
            if not contains(intervals, value):
                return False
        return not self.key_check or contains(self.key_check, path)

    def position(self, suffix: bytes) -> bytes:
        """Return the position of a row in the order of the whole query."""
        if not self.constants:
            return suffix
        columns, path = split_columns(suffix, self.descending)
        varying = iter(columns)
        return b"".join([next(varying) if c is None else c for c in self.constants]) + path

    def match(self, row: bytes) -> bytes | None:
        """Return the position of an index row, or None if the row does not match."""
        if not any(low <= row < high for low, high in self.ranges):
            return None
        suffix = row[len(self.prefix) :]
        return self.position(suffix) if self.accepts(suffix) else None

    def cut(self, columns: list[bytes], path: bytes, *, after: bool) -> bytes:
        """Return the bound in this scan's rows just before or just after a position."""
        place = self.prefix
        for constant, column in zip(self.constants, columns, strict=False):
            if constant is None:
                place += column
            elif constant != column:
                return place if constant > column else place + _AFTER_ALL
        if not self.constants:
            place += b"".join(columns)
        return place + path + (b"\0" if after else b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryPlan:
    """The scans of a query, to be merged by position."""

    query: Query
    scans: tuple[Scan, ...]
    reverse: bool
    descending: tuple[bool, ...]
    groups: int

    def row_values(self, position: bytes, scan: Scan) -> dict[str, bytes]:
        """Return the encoded values of the properties in a result's row."""
        columns, _ = split_columns(position, self.descending)
        found = dict(scan.equals)
        for order, inverted, stored in zip(self.query.order, self.descending, columns, strict=True):
            found[order.name] = index_values.invert(stored) if inverted else stored
        return found

    def group(self, position: bytes) -> list[bytes]:
        """Return the encoded values of the DISTINCT ON properties of a result."""
        return split_columns(position, self.descending[: self.groups])[0]


FindIndex = Callable[[Shape], Index | None]


def make_plan(query: Query, entities_prefix: bytes, find_index: FindIndex) -> QueryPlan:
    """Return the plan of a query; `find_index` returns the index of a shape, or None if empty."""
    reverse = query.keys_descending
    descending = tuple(order.descending != reverse for order in query.order)
    if query.kind in METADATA_KINDS:
        scans = [_entity_scan(one, b"") for one in query.alternatives]
    elif query.kind is None:
        scans = [_entity_scan(one, entities_prefix) for one in query.alternatives]
    else:
        scans = [
            scan
            for one in query.alternatives
            if (scan := _index_scan(query, one, descending, find_index)) is not None
        ]
    return QueryPlan(
        query=query,
        scans=tuple(scans),
        reverse=reverse,
        descending=descending,
        groups=sum(order.name in query.distinct for order in query.order),
    )


def _entity_scan(alternative: Alternative, prefix: bytes) -> Scan:
    return Scan(index=None, prefix=prefix, ranges=_key_ranges(prefix, alternative), descending=())


def _index_scan(
    query: Query, alternative: Alternative, descending: tuple[bool, ...], find_index: FindIndex
) -> Scan | None:
    fixed = dict(alternative.equals)
    varying = [
        Column(order.name, inverted)
        for order, inverted in zip(query.order, descending, strict=True)
        if order.name not in fixed
    ]
    equal = [Column(name) for name, _ in alternative.equals]
    by_ancestor = alternative.ancestor is not None and bool(varying)
    index = find_index(Shape((*equal, *varying), by_ancestor))
    if index is None:
        return None
    ancestor = (alternative.ancestor or b"") + keys.PATH_END if by_ancestor else b""
    prefix = index.prefix + ancestor + b"".join(value for _, value in alternative.equals)
    names = [column.name for column in varying]
    has_constants = len(varying) < len(query.order)
    return Scan(
        index=index,
        prefix=prefix,
        ranges=_ranges(prefix, varying, alternative),
        descending=tuple(column.descending for column in varying),
        equals=alternative.equals,
        constants=_constants(query, fixed, descending) if has_constants else (),
        checks=tuple(
            (names.index(name), intervals)
            for name, intervals in alternative.ranges.items()
            if names.index(name) > 0
        ),
        key_check=alternative.keys if varying and not _is_everything(alternative.keys) else (),
    )


def _constants(
    query: Query, fixed: dict[str, bytes], descending: tuple[bool, ...]
) -> tuple[bytes | None, ...]:
    constants = []
    for order, inverted in zip(query.order, descending, strict=True):
        value = fixed.get(order.name)
        constants.append(index_values.invert(value) if value is not None and inverted else value)
    return tuple(constants)


def _is_everything(intervals: Intervals) -> bool:
    return intervals == (Interval(Cut(b"", after=False), Cut(_AFTER_ALL, after=False)),)


def _ranges(prefix: bytes, varying: list[Column], alternative: Alternative) -> tuple[Range, ...]:
    if not varying:
        return _key_ranges(prefix, alternative)
    name, inverted = varying[0]
    intervals = alternative.ranges.get(name)
    if name == KEY:
        intervals = tuple(_own_path_interval(one) for one in alternative.keys)
    if intervals is None:
        return ((prefix, prefix + _AFTER_ALL),)
    if not inverted:
        return tuple((prefix + _upright(i.low), prefix + _upright(i.high)) for i in intervals)
    return tuple(
        (prefix + _inverted(i.high), prefix + _inverted(i.low)) for i in reversed(intervals)
    )


def _own_path_interval(interval: Interval) -> Interval:
    low, high = interval
    return Interval(_own_path_cut(low), _own_path_cut(high))


def _own_path_cut(cut: Cut) -> Cut:
    if cut.value in {b"", _AFTER_ALL}:
        return cut
    return Cut(index_values.encode_own_path(cut.value), cut.after)


def _upright(cut: Cut) -> bytes:
    return cut.value + _AFTER_ALL if cut.after else cut.value


def _inverted(cut: Cut) -> bytes:
    if cut.value in {b"", _AFTER_ALL}:
        return index_values.invert(cut.value) if cut.value else _AFTER_ALL
    inverted = index_values.invert(cut.value)
    return inverted if cut.after else inverted + _AFTER_ALL


def _key_ranges(prefix: bytes, alternative: Alternative) -> tuple[Range, ...]:
    low, high = prefix, prefix + _AFTER_ALL
    if alternative.ancestor is not None:
        low = prefix + alternative.ancestor
        high = low + _AFTER_ALL
    ranges = (
        (max(low, prefix + _key_cut(i.low)), min(high, prefix + _key_cut(i.high)))
        for i in alternative.keys
    )
    return tuple(pair for pair in ranges if pair[0] < pair[1])


def _key_cut(cut: Cut) -> bytes:
    return cut.value + b"\0" if cut.after else cut.value
