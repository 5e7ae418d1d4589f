"""The catalog of partitions, kinds, properties and indexes; in memory, and stored in the file."""

import json
from dataclasses import dataclass, field

from adjourn_local.database import Connection
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
class _StoredPartition:
    prefix: bytes
    kinds: dict[str, KindIndexes] = field(default_factory=dict)


class Catalog:
    """The partitions with their kinds, properties and indexes.

    Partitions, kinds and properties are written at once, outside of a commit's transaction: a
    rollback would make the file differ from memory.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._partitions: dict[Partition, _StoredPartition] = {}
        by_number: dict[int, _StoredPartition] = {}
        for number, *names in connection.execute("SELECT * FROM datastore_partitions"):
            by_number[number] = self._partitions[Partition(*names)] = _StoredPartition(
                number.to_bytes(4)
            )
        select = "SELECT id, partition, kind, ancestor, columns, since FROM datastore_indexes"
        for number, stored, kind, ancestor, columns, since in connection.execute(select):
            shape = Shape(tuple(Column(*c) for c in json.loads(columns)), bool(ancestor))
            index = Index(id=number, shape=shape, since=since)
            by_number[stored].kinds.setdefault(kind, KindIndexes()).add(index)
        for stored, kind, name in connection.execute("SELECT * FROM datastore_properties"):
            by_number[stored].kinds[kind].add_properties({name})

    def prefix(self, partition: Partition) -> bytes | None:
        """Return the prefix of a partition's stored keys; None if it never had entities."""
        stored = self._partitions.get(partition)
        return stored.prefix if stored else None

    def ensure_prefix(self, partition: Partition) -> bytes:
        """Return the prefix of a partition's stored keys; add the partition if it is new."""
        stored = self._partitions.get(partition)
        if stored is None:
            insert = (
                "INSERT INTO datastore_partitions (project, database, namespace) VALUES (?, ?, ?)"
            )
            number = self._connection.execute(insert, partition).lastrowid or 0
            stored = self._partitions[partition] = _StoredPartition(number.to_bytes(4))
        return stored.prefix

    def kind(self, partition: Partition, kind: str) -> KindIndexes | None:
        """Return the indexes of a kind; None if it never had entities."""
        stored = self._partitions.get(partition)
        return stored.kinds.get(kind) if stored else None

    def kinds(self, partition: Partition) -> dict[str, KindIndexes]:
        """Return the indexes of all kinds that ever had entities in a partition."""
        stored = self._partitions.get(partition)
        return stored.kinds if stored else {}

    def partitions(self) -> list[Partition]:
        """Return all partitions that ever had entities."""
        return list(self._partitions)

    def composites(self) -> list[tuple[Partition, str, Shape]]:
        """Return all composite indexes."""
        return [
            (partition, kind, index.shape)
            for partition, stored in self._partitions.items()
            for kind, indexes in stored.kinds.items()
            for index in indexes.composite
        ]

    def add_properties(self, partition: Partition, kind: str, names: set[str]) -> None:
        """Add indexed properties of a kind."""
        stored = self._partitions[partition]
        number = int.from_bytes(stored.prefix)
        insert = "INSERT OR IGNORE INTO datastore_properties VALUES (?, ?, ?)"
        self._connection.executemany(insert, ((number, kind, name) for name in names))
        stored.kinds[kind].add_properties(names)

    def store_index(self, partition: Partition, kind: str, shape: Shape, since: int) -> Index:
        """Store an index whose rows are complete from version `since` on; then call `note_index`.

        The call belongs after the transaction, which may fail.
        """
        stored = self._partitions[partition]
        columns = json.dumps([list(column) for column in shape.columns])
        insert = (
            "INSERT INTO datastore_indexes (partition, kind, ancestor, columns, since)"
            " VALUES (?, ?, ?, ?, ?)"
        )
        arguments = (int.from_bytes(stored.prefix), kind, int(shape.ancestor), columns, since)
        number = self._connection.execute(insert, arguments).lastrowid or 0
        return Index(id=number, shape=shape, since=since)

    def note_index(self, partition: Partition, kind: str, index: Index) -> KindIndexes:
        """Use an index that is stored, and return all of its kind."""
        indexes = self._partitions[partition].kinds.setdefault(kind, KindIndexes())
        indexes.add(index)
        return indexes

    def delete_index(self, index: Index) -> None:
        """Delete an index; then call `forget_index`. The caller deletes its rows."""
        self._connection.execute("DELETE FROM datastore_indexes WHERE id = ?", (index.id,))

    def forget_index(self, partition: Partition, kind: str, index: Index) -> None:
        """No longer use an index that is deleted."""
        self._partitions[partition].kinds[kind].drop(index)
