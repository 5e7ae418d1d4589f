"""Stored entities, index rows, and changes of them."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple


class EntityRecord(NamedTuple):
    """A stored entity: its row id, version, times in microseconds and serialized message."""

    id: int
    version: int
    created: int
    updated: int
    body: bytes


Row = tuple[bytes, int, int, int, int, int, bytes]
"""An index row, whether its entity has several in the index, and the fields of its record."""


@dataclass(slots=True)
class Change:
    """A change of one entity: its new record, None to delete it, and the index rows that differ."""

    key: bytes
    old: EntityRecord | None
    new: EntityRecord | None
    removed_rows: Collection[bytes] = ()
    added_rows: dict[bytes, bool] = field(default_factory=dict)
