"""Which partitions, kinds and indexes exist: kept in memory, remembered in the file."""

import json
import sqlite3
from dataclasses import dataclass, field

from adjourn_local.datastore.indexes import Column, Index, KindIndexes, Shape
from adjourn_local.datastore.keys import Partition

SCHEMA = """
CREATE TABLE IF NOT EXISTS datastore_partitions (
    id INTEGER PRIMARY KEY, project TEXT, database TEXT, namespace TEXT,
    UNIQUE (project, database, namespace));
CREATE TABLE IF NOT EXISTS datastore_indexes (
    id INTEGER PRIMARY KEY, partition INTEGER, kind TEXT, ancestor INTEGER, columns TEXT,
    since INTEGER);
CREATE TABLE IF NOT EXISTS datastore_properties (
    partition INTEGER, kind TEXT, name TEXT, PRIMARY KEY (partition, kind, name)) WITHOUT ROWID;
"""


@dataclass(slots=True)
class _Space:
    prefix: bytes
    kinds: dict[str, KindIndexes] = field(default_factory=dict)


class Catalog:
    """The partitions with their kinds, their properties and their indexes.

    Partitions, kinds and properties are written at once, never inside a commit's transaction:
    memory and file must not part when that is rolled back.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._spaces: dict[Partition, _Space] = {}
        spaces: dict[int, _Space] = {}
        for number, *names in connection.execute("SELECT * FROM datastore_partitions"):
            spaces[number] = self._spaces[Partition(*names)] = _Space(number.to_bytes(4))
        select = "SELECT id, partition, kind, ancestor, columns, since FROM datastore_indexes"
        for number, space, kind, ancestor, columns, since in connection.execute(select):
            shape = Shape(tuple(Column(*c) for c in json.loads(columns)), bool(ancestor))
            index = Index(id=number, shape=shape, since=since)
            spaces[space].kinds.setdefault(kind, KindIndexes()).add(index)
        for space, kind, name in connection.execute("SELECT * FROM datastore_properties"):
            spaces[space].kinds[kind].properties.add(name)

    def prefix(self, partition: Partition) -> bytes | None:
        """Return what stored keys of a partition begin with; None if it never held anything."""
        space = self._spaces.get(partition)
        return space.prefix if space else None

    def ensure_prefix(self, partition: Partition) -> bytes:
        """Return what stored keys of a partition begin with, entering it if it is new."""
        space = self._spaces.get(partition)
        if space is None:
            insert = (
                "INSERT INTO datastore_partitions (project, database, namespace) VALUES (?, ?, ?)"
            )
            number = self._connection.execute(insert, partition).lastrowid or 0
            space = self._spaces[partition] = _Space(number.to_bytes(4))
        return space.prefix

    def kind(self, partition: Partition, kind: str) -> KindIndexes | None:
        """Return the indexes of a kind, or None if nothing of it was ever stored."""
        space = self._spaces.get(partition)
        return space.kinds.get(kind) if space else None

    def kinds(self, partition: Partition) -> dict[str, KindIndexes]:
        """Return every kind of which a partition ever held something."""
        space = self._spaces.get(partition)
        return space.kinds if space else {}

    def partitions(self) -> list[Partition]:
        """Return every partition that ever held something."""
        return list(self._spaces)

    def composites(self) -> list[tuple[Partition, str, Shape]]:
        """Return the composite indexes there are."""
        return [
            (partition, kind, index.shape)
            for partition, space in self._spaces.items()
            for kind, indexes in space.kinds.items()
            for index in indexes.composite
        ]

    def add_properties(self, partition: Partition, kind: str, names: set[str]) -> None:
        """Enter properties of which a kind's entities have indexed values."""
        space = self._spaces[partition]
        number = int.from_bytes(space.prefix)
        insert = "INSERT INTO datastore_properties VALUES (?, ?, ?)"
        self._connection.executemany(insert, ((number, kind, name) for name in names))
        space.kinds[kind].properties |= names

    def add_index(self, partition: Partition, kind: str, shape: Shape, since: int) -> Index:
        """Enter an index whose rows are complete from version `since` on."""
        space = self._spaces[partition]
        columns = json.dumps([list(column) for column in shape.columns])
        insert = (
            "INSERT INTO datastore_indexes (partition, kind, ancestor, columns, since)"
            " VALUES (?, ?, ?, ?, ?)"
        )
        arguments = (int.from_bytes(space.prefix), kind, int(shape.ancestor), columns, since)
        number = self._connection.execute(insert, arguments).lastrowid or 0
        index = Index(id=number, shape=shape, since=since)
        space.kinds.setdefault(kind, KindIndexes()).add(index)
        return index

    def drop_index(self, partition: Partition, kind: str, index: Index) -> None:
        """Forget an index; its rows are the caller's business."""
        self._connection.execute("DELETE FROM datastore_indexes WHERE id = ?", (index.id,))
        self._spaces[partition].kinds[kind].drop(index)
