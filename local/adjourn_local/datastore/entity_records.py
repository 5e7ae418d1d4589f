"""What is stored, as it is read and written: rows, records, views and changes."""

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple


class Source(Enum):
    """What a scan reads: index rows with their entities, the rows alone, or entities by key."""

    # CROSS JOIN keeps SQLite from walking the entities instead of the range.
    ROWS = (
        "SELECT r.row, r.several, e.id, e.version, e.created, e.updated, e.body"
        " FROM datastore_rows r CROSS JOIN datastore_entities e ON e.id = r.entity"
        " WHERE r.row >= ? AND r.row < ? ORDER BY r.row"
    )
    BARE_ROWS = (
        "SELECT row, several, entity, 0, 0, 0, X'' FROM datastore_rows"
        " WHERE row >= ? AND row < ? ORDER BY row"
    )
    ENTITIES = (
        "SELECT key, 0, id, version, created, updated, body FROM datastore_entities"
        " WHERE key >= ? AND key < ? ORDER BY key"
    )


class EntityRecord(NamedTuple):
    """A stored entity: its row id, version, times in microseconds and serialized message."""

    id: int
    version: int
    created: int
    updated: int
    body: bytes


Row = tuple[bytes, int, int, int, int, int, bytes]
"""An index row, whether its entity has several, then the fields of the entity's `EntityRecord`."""


class View(NamedTuple):
    """What a read sees: the present, or what was present when the view was opened."""

    connection: sqlite3.Connection
    version: int


@dataclass(slots=True)
class Change:
    """What one entity becomes: its new record (None deletes it) and the index rows that differ."""

    key: bytes
    old: EntityRecord | None
    new: EntityRecord | None
    gone: Collection[bytes] = ()
    come: dict[bytes, bool] = field(default_factory=dict)
