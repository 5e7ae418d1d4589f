"""Store entities and index rows in SQLite.

A single thread writes, so a read before a write needs no lock. Writes that belong together are one
SQLite transaction.
"""

import itertools
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adjourn_local.database import Connection, connect
from adjourn_local.datastore import catalog, entities, needed_indexes
from adjourn_local.datastore.composite_indexes import CompositeIndex
from adjourn_local.datastore.entity_records import Change
from adjourn_local.datastore.indexes import KEY, KIND, Index, KindIndexes, Shape, rows_in
from adjourn_local.datastore.keys import Partition
from adjourn_local.datastore.messages import Entity
from adjourn_local.datastore.scatter import SCATTER
from adjourn_local.datastore.view import Source, View

_SCHEMA = """
CREATE TABLE IF NOT EXISTS datastore_state (name TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS datastore_entities (
    id INTEGER PRIMARY KEY, key BLOB UNIQUE,
    version INTEGER, created INTEGER, updated INTEGER, body BLOB);
CREATE TABLE IF NOT EXISTS datastore_rows (
    row BLOB PRIMARY KEY, several INTEGER, entity INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS datastore_reserved (key BLOB PRIMARY KEY) WITHOUT ROWID;
"""

_TABLES = (
    "datastore_entities",
    "datastore_rows",
    "datastore_reserved",
    "datastore_indexes",
    "datastore_properties",
    "datastore_partitions",
)

_CACHE = "PRAGMA cache_size = -32768;"

# One statement for many rows costs half of one for each.
_PORTION = 50
_WRITE_ENTITY = (
    (
        "INSERT INTO datastore_entities VALUES {} ON CONFLICT (id) DO UPDATE SET"
        " version = excluded.version, created = excluded.created, updated = excluded.updated,"
        " body = excluded.body"
    ),
    "(?, ?, ?, ?, ?, ?)",
)
_WRITE_ROW = "INSERT OR REPLACE INTO datastore_rows VALUES {}", "(?, ?, ?)"

# https://cloud.google.com/datastore/docs/concepts/limits (without billing)
_MAX_COMPOSITES = 200


class EntityTables:
    """The tables of entities and index rows.

    Args:
        path: The state file.
        declared_indexes: The composite indexes that queries may use; None to make what they need.

    Attributes:
        catalog: The list of indexes.
        needed: What the service would need of composite indexes.
    """

    def __init__(
        self, path: Path, declared_indexes: Collection[CompositeIndex] | None = None
    ) -> None:
        self._path = path
        self._connection = connect(path)
        self._connection.executescript(_CACHE + _SCHEMA + catalog.SCHEMA + needed_indexes.SCHEMA)
        self._idle: list[Connection] = []
        self._views: dict[int, Connection] = {}
        self.catalog = catalog.Catalog(self._connection)
        self.needed = needed_indexes.NeededIndexes(self._connection, declared_indexes)
        self._last_use = dict.fromkeys(self.catalog.composites())
        last = self._connection.execute("SELECT MAX(id) FROM datastore_entities").fetchone()[0]
        self._ids = itertools.count((last or 0) + 1)
        state = self._connection.execute("SELECT value FROM datastore_state WHERE name = 'version'")
        self.version: int = (state.fetchone() or (0,))[0]

    def close(self) -> None:
        """Close every connection."""
        for connection in (*self._views.values(), *self._idle, self._connection):
            connection.close()

    def present(self) -> View:
        """Return a view of the current state."""
        return View(self._connection, self.version)

    def open_view(self) -> View:
        """Return a view of the current state that later writes do not change."""
        connection = self._idle.pop() if self._idle else connect(self._path)
        self._views[id(connection)] = connection
        connection.execute("BEGIN")
        # SQLite takes the snapshot at the first read, not at BEGIN.
        connection.execute("SELECT value FROM datastore_state").fetchone()
        return View(connection, self.version)

    def close_view(self, view: View) -> None:
        """Close a view that `open_view` has returned."""
        view.connection.execute("COMMIT")
        self._idle.append(self._views.pop(id(view.connection)))

    def reset(self) -> None:
        """Delete everything that is stored."""
        version = self.version + 1
        with self._connection.transaction():
            for table in _TABLES:
                self._connection.execute(f"DELETE FROM {table}")  # noqa: S608 - a constant
            self._set_version(version)
        self.catalog = catalog.Catalog(self._connection)
        self._last_use.clear()
        self.version = version

    def is_taken(self, key: bytes) -> bool:
        """Return whether a key is stored or reserved, so that its id must not be allocated."""
        select = (
            "SELECT EXISTS (SELECT 1 FROM datastore_entities WHERE key = :key)"
            " OR EXISTS (SELECT 1 FROM datastore_reserved WHERE key = :key)"
        )
        return bool(self._connection.execute(select, {"key": key}).fetchone()[0])

    def reserve(self, keys: Iterable[bytes]) -> None:
        """Reserve keys, whose ids will never be allocated."""
        insert = "INSERT OR IGNORE INTO datastore_reserved VALUES (?)"
        with self._connection.transaction():
            self._connection.executemany(insert, ((key,) for key in keys))

    def apply(self, changes: Iterable[Change], version: int) -> None:
        """Write the changes of one commit, all or none."""
        with self._connection.transaction():
            self._write(changes)
            self._set_version(version)
        self.version = version

    @contextmanager
    def preview(self, changes: Iterable[Change]) -> Iterator[View]:
        """Yield a view with some changes applied, and roll them back at the end."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._write(changes)
            yield self.present()
        finally:
            self._connection.roll_back()

    def _write(self, changes: Iterable[Change]) -> None:
        """Write changes. Bytes go to SQLite as bytearrays, for which it looks for no adapter."""
        removed: list[bytes] = []
        added: list[tuple[bytes, bool, int]] = []
        deleted: list[bytes] = []
        written: list[tuple[Any, ...]] = []
        for change in changes:
            removed += change.removed_rows
            if change.new is None:
                deleted.append(change.key)
                continue
            number = change.old.id if change.old else next(self._ids)
            _, *times, body = change.new
            written.append((number, bytearray(change.key), *times, bytearray(body)))
            for row, several in change.added_rows.items():
                added.append((row, several, number))
        delete = "DELETE FROM datastore_entities WHERE key = ?"
        self._connection.executemany(delete, ((bytearray(key),) for key in deleted))
        self._insert(*_WRITE_ENTITY, written)
        self._delete_rows(removed)
        self._insert_rows(added)

    def _delete_rows(self, rows: list[bytes]) -> None:
        delete = "DELETE FROM datastore_rows WHERE row = ?"
        self._connection.executemany(delete, ((bytearray(row),) for row in rows))

    def _insert_rows(self, rows: list[tuple[bytes, bool, int]]) -> None:
        # Sorted, so that rows on the same page are written together.
        rows.sort()
        values = [(bytearray(row), int(several), number) for row, several, number in rows]
        self._insert(*_WRITE_ROW, values)

    def _insert(self, statement: str, places: str, rows: list[tuple[Any, ...]]) -> None:
        rest = len(rows) - len(rows) % _PORTION
        for start in range(0, rest, _PORTION):
            values = itertools.chain.from_iterable(rows[start : start + _PORTION])
            insert = statement.format(", ".join([places] * _PORTION))
            self._connection.execute(insert, tuple(values))
        self._connection.executemany(statement.format(places), rows[rest:])

    def _set_version(self, version: int) -> None:
        replace = "INSERT OR REPLACE INTO datastore_state VALUES ('version', ?)"
        self._connection.execute(replace, (version,))

    def checked(
        self, partition: Partition, kind: str, path: bytes, entity: Any
    ) -> tuple[bytes, dict[bytes, bool]]:
        """Check a new or changed entity; add its kind and properties if they are new.

        Returns:
            The entity as it is stored, and its index rows.

        Raises:
            RpcError: The entity exceeds a limit or breaks a rule of the service.
        """
        indexes = self.catalog.kind(partition, kind)
        body, found = entities.checked(entity, indexes.unread if indexes else ())
        if indexes is None:
            indexes = self._new_kind(partition, kind)
        if found and not found.keys() <= indexes.properties:
            self.catalog.add_properties(partition, kind, found.keys() - indexes.properties)
        rows = indexes.rows(path, found)
        indexes.check(rows)
        return body, rows

    def _new_kind(self, partition: Partition, kind: str) -> KindIndexes:
        self.catalog.ensure_prefix(partition)
        index = self.catalog.store_index(partition, kind, KIND, since=0)
        return self.catalog.note_index(partition, kind, index)

    def stored_rows(
        self, partition: Partition, kind: str, path: bytes, body: bytes
    ) -> dict[bytes, bool]:
        """Return the index rows of an entity that is or was stored."""
        indexes = self.catalog.kind(partition, kind)
        if indexes is None:
            return {}
        if not indexes.read:
            return indexes.rows(path, {})
        return indexes.rows(path, entities.indexed_values(Entity.FromString(body), indexes.unread))

    def ensure_index(self, partition: Partition, kind: str, shape: Shape) -> Index | None:
        """Return the index of a kind with a shape; create it from the stored entities if missing.

        The result is None if no entity ever had such a property, so that the index would be empty.
        """
        indexes = self.catalog.kind(partition, kind)
        names = {column.name for column in shape.columns} - {KEY, SCATTER}
        if indexes is None or not names <= indexes.properties:
            return None
        use = (partition, kind, shape)
        if shape.is_composite:
            self._last_use.pop(use, None)
            self._last_use[use] = None
        return indexes.by_shape.get(shape) or self._fill(partition, kind, shape)

    def _fill(self, partition: Partition, kind: str, shape: Shape) -> Index:
        self._drop_stale()
        version = self.version + 1
        with self._connection.transaction():
            index = self.catalog.store_index(partition, kind, shape, since=version)
            filled = self.rows_of_kind(self.present(), partition, kind, index)
            self._insert_rows(
                [(r, several, n) for n, rows in filled for r, several in rows.items()]
            )
            self._set_version(version)
        self.catalog.note_index(partition, kind, index)
        self.version = version
        return index

    def _drop_stale(self) -> None:
        """Drop the least recently used composite index if there are too many."""
        if len(self._last_use) <= _MAX_COMPOSITES:
            return
        partition, kind, shape = use = next(iter(self._last_use))
        del self._last_use[use]
        indexes = self.catalog.kind(partition, kind)
        if indexes and (index := indexes.by_shape.get(shape)):
            delete = "DELETE FROM datastore_rows WHERE row >= ? AND row < ?"
            with self._connection.transaction():
                self._connection.execute(delete, (index.prefix, index.prefix + b"\xff"))
                self.catalog.delete_index(index)
            self.catalog.forget_index(partition, kind, index)

    def rows_of_kind(
        self, view: View, partition: Partition, kind: str, index: Index
    ) -> Iterator[tuple[int, dict[bytes, bool]]]:
        """Yield each entity of a kind with the rows that it has, or would have, in an index."""
        indexes = self.catalog.kind(partition, kind)
        if indexes is None:
            return
        prefix = indexes.by_shape[KIND].prefix
        names = {column.name for column in index.shape.columns} - {KEY, SCATTER}
        for row in view.scan(Source.ROWS, prefix, prefix + b"\xff", reverse=False):
            found = entities.stored_values(Entity.FromString(row[6]), names) if names else {}
            yield row[2], rows_in(index, row[0][len(prefix) :], found)
