"""A view of the stored entities and index rows, and all reads of them."""

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import NamedTuple

from adjourn_local.database import Connection
from adjourn_local.datastore.entity_records import EntityRecord, Row

# One statement for many keys costs a third of one for each; an entity can have a megabyte.
_PORTION = 50
_SELECT_KEYS = (
    "SELECT id, version, created, updated, body, key FROM datastore_entities WHERE key IN ("
)


class Source(Enum):
    """What a scan reads: index rows with their entities, index rows alone, or entities by key."""

    # CROSS JOIN keeps SQLite from scanning the entities instead of the range of rows.
    ROWS = (
        "SELECT r.row, r.several, e.id, e.version, e.created, e.updated, e.body"
        " FROM datastore_rows r CROSS JOIN datastore_entities e ON e.id = r.entity"
        " WHERE r.row >= ? AND r.row < ? ORDER BY r.row"
    )
    ROWS_ONLY = (
        "SELECT row, several, entity, 0, 0, 0, X'' FROM datastore_rows"
        " WHERE row >= ? AND row < ? ORDER BY row"
    )
    ENTITIES = (
        "SELECT key, 0, id, version, created, updated, body FROM datastore_entities"
        " WHERE key >= ? AND key < ? ORDER BY key"
    )


class View(NamedTuple):
    """The state that a read sees: the current one, or the one when the view was opened."""

    connection: Connection
    version: int

    def get(self, key: bytes) -> EntityRecord | None:
        """Return the record with a stored key, or None."""
        select = "SELECT id, version, created, updated, body FROM datastore_entities WHERE key = ?"
        found = self.connection.execute(select, (key,)).fetchone()
        return EntityRecord(*found) if found else None

    def records(self, keys: Sequence[bytes]) -> Iterator[tuple[bytes, EntityRecord | None]]:
        """Yield each stored key with its record; they are read in portions."""
        for start in range(0, len(keys), _PORTION):
            portion = keys[start : start + _PORTION]
            values = [bytearray(key) for key in portion]  # bytes cost a search for adapters
            select = _SELECT_KEYS + ",".join("?" * len(portion)) + ")"
            found = {row[5]: row for row in self.connection.execute(select, values)}
            for key in portion:
                row = found.get(key)
                yield key, None if row is None else EntityRecord(*row[:5])

    def scan(self, source: Source, low: bytes, high: bytes, *, reverse: bool) -> Iterator[Row]:
        """Yield the rows, or entities, with `low` <= row (or stored key) < `high`, in order."""
        select = source.value + " DESC" if reverse else source.value
        cursor = self.connection.execute(select, (low, high))
        try:
            yield from cursor
        finally:
            cursor.close()

    def record(self, number: int) -> EntityRecord:
        """Return the record with a row id that a scan has returned."""
        select = "SELECT id, version, created, updated, body FROM datastore_entities WHERE id = ?"
        return EntityRecord(*self.connection.execute(select, (number,)).fetchone())

    def has_rows(self, prefix: bytes) -> bool:
        """Return whether any index row begins with a prefix."""
        select = "SELECT EXISTS (SELECT 1 FROM datastore_rows WHERE row >= ? AND row < ?)"
        return bool(self.connection.execute(select, (prefix, prefix + b"\xff")).fetchone()[0])

    def has_entities(self, prefix: bytes) -> bool:
        """Return whether any stored key begins with a partition's prefix."""
        select = "SELECT EXISTS (SELECT 1 FROM datastore_entities WHERE key >= ? AND key < ?)"
        return bool(self.connection.execute(select, (prefix, prefix + b"\xff")).fetchone()[0])

    def count_entities(self, low: bytes, high: bytes) -> int:
        """Return the number of entities with index rows in a range."""
        select = (
            "SELECT COUNT(*) FILTER (WHERE NOT several)"
            " + COUNT(DISTINCT CASE WHEN several THEN entity END)"
            " FROM datastore_rows WHERE row >= ? AND row < ?"
        )
        total: int = self.connection.execute(select, (low, high)).fetchone()[0]
        return total
