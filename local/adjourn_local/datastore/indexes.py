"""Indexes, and the rows that an entity has in them.

The index of all entities of a kind exists from its first entity on. An index of one or more
properties is filled by the first query that needs it and maintained from then on. So writes do not
maintain indexes that no query reads.

An index row is one blob: index id, ancestor (if the index has one), one value for each column, and
the key path. A query fixes the first columns by its equalities; the others sort the results.
"""

import itertools
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from adjourn_local.datastore import index_values, keys, scatter
from adjourn_local.datastore.entities import IndexedValues
from adjourn_local.datastore.messages import invalid

KEY = "__key__"
# https://cloud.google.com/datastore/docs/concepts/limits
_MAX_ENTRIES = 20_000
_MAX_COMPOSITE = 2 << 20


class Column(NamedTuple):
    """A property path in an index and the direction in which it is stored."""

    name: str
    descending: bool = False


class Shape(NamedTuple):
    """The columns of an index; queries that need the same shape share an index."""

    columns: tuple[Column, ...]
    ancestor: bool = False

    @property
    def is_composite(self) -> bool:
        """Whether the service has such an index only if it is declared in index.yaml."""
        return self.ancestor or len(self.columns) > 1 or any(c.descending for c in self.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """An index of one kind in one partition; its rows exist from version `since` on."""

    id: int
    shape: Shape
    since: int

    @property
    def prefix(self) -> bytes:
        """The prefix of all rows of this index."""
        return self.id.to_bytes(4)


@dataclass(slots=True)
class KindIndexes:
    """The indexes of one kind in one partition, which every write and every query looks up.

    Attributes:
        base: Prefix of the rows of the index of all entities.
        properties: Names of all properties that were ever indexed in an entity of the kind.
        unread: Those of them that are not a column of any index.
        read: Number of indexes with a property as a column, by property.
        by_shape: The indexes by shape.
        by_property: Prefix of the rows of each single-property index.
        composite: The composite indexes.
    """

    base: bytes = b""
    properties: set[str] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)
    read: Counter[str] = field(default_factory=Counter)
    by_shape: dict[Shape, Index] = field(default_factory=dict)
    by_property: dict[str, bytes] = field(default_factory=dict)
    composite: list[Index] = field(default_factory=list)

    def add_properties(self, names: Collection[str]) -> None:
        """Add names of properties."""
        self.properties.update(names)
        self.unread = self.properties - self.read.keys()

    def add(self, index: Index) -> None:
        """Add an index."""
        self.by_shape[index.shape] = index
        self.read.update(column.name for column in index.shape.columns)
        self.unread = self.properties - self.read.keys()
        if index.shape.is_composite:
            self.composite.append(index)
        if index.shape == KIND:
            self.base = index.prefix
        for column in () if index.shape.is_composite else index.shape.columns:
            self.by_property[column.name] = index.prefix

    def drop(self, index: Index) -> None:
        """Remove a composite index."""
        del self.by_shape[index.shape]
        self.composite.remove(index)
        self.read -= Counter(column.name for column in index.shape.columns)
        self.unread = self.properties - self.read.keys()

    def rows(self, path: bytes, found: IndexedValues) -> dict[bytes, bool]:
        """Return all index rows of an entity; the value tells if it has several in that index.

        Raises:
            RpcError: The entity has more rows in one index than the service allows in total.
        """
        rows = {self.base + path: False}
        for name, prefix in self.by_property.items():
            items = _items(name, path, found)
            several = len(items) > 1
            for item in items:
                rows[prefix + item + path] = several
        for index in self.composite:
            rows.update(rows_in(index, path, found))
        return rows

    def check(self, rows: Collection[bytes]) -> None:
        """Refuse an entity with more, or larger, index rows than the service allows."""
        if len(rows) > _MAX_ENTRIES:
            raise invalid(f"The entity has more than {_MAX_ENTRIES} index entries.")
        if not self.composite or sum(map(len, rows)) <= _MAX_COMPOSITE:
            return
        composite = {index.prefix for index in self.composite}
        if sum(len(row) for row in rows if row[:4] in composite) > _MAX_COMPOSITE:
            raise invalid(
                f"The entity's entries in composite indexes are larger than {_MAX_COMPOSITE}"
                " bytes; index fewer or shorter values of its lists."
            )


KIND = Shape(())


def rows_in(index: Index, path: bytes, found: IndexedValues) -> dict[bytes, bool]:
    """Return the rows of an entity in one index."""
    columns = index.shape.columns
    if not columns and not index.shape.ancestor:
        return {index.prefix + path: False}
    choices: list[list[bytes]] = []
    total = 1
    for name, descending in columns:
        items = _items(name, path, found)
        if not items:
            return {}
        total *= len(items)
        choices.append([index_values.invert(item) for item in items] if descending else items)
    if total > _MAX_ENTRIES:
        raise invalid(f"The entity has more than {_MAX_ENTRIES} index entries.")
    heads = _heads(index, path)
    several = total > 1
    return {
        b"".join((head, *chosen, path)): several
        for head in heads
        for chosen in itertools.product(*choices)
    }


def _items(name: str, path: bytes, found: IndexedValues) -> list[bytes]:
    if name == KEY:
        return [index_values.encode_own_path(path)]
    if name == scatter.SCATTER:
        return scatter.indexed(path)
    return found.get(name, [])


def _heads(index: Index, path: bytes) -> list[bytes]:
    if not index.shape.ancestor:
        return [index.prefix]
    return [index.prefix + above + keys.PATH_END for above in keys.ancestor_paths(path)]


def split_columns(suffix: bytes, descending: tuple[bool, ...]) -> tuple[list[bytes], bytes]:
    """Split a row without its prefix into its columns, as stored, and its key path."""
    columns, at = [], 0
    for inverted in descending:
        upright = index_values.invert(suffix[at:]) if inverted else suffix[at:]
        end = at + index_values.end(upright, 0)
        columns.append(suffix[at:end])
        at = end
    return columns, suffix[at:]
