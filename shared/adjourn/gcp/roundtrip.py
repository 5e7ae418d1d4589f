"""What becomes of entities on their way into Datastore and back, without going there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.cloud.datastore import Entity, Key


def as_read(entity: Entity) -> Entity:
    """Return an entity as it is read after this one was written.

    Raises:
        ValueError: It has a value that Datastore cannot keep.
    """
    from google.cloud.datastore import helpers

    written = helpers.entity_to_protobuf(entity)
    read: Entity = helpers.entity_from_protobuf(written)
    return read


def with_values(key: Key, values: Mapping[str, object]) -> Entity:
    """Return an entity as a query gives it that does not ask for all of its values."""
    from google.cloud.datastore import Entity

    made = Entity(key)
    made.update(values)
    return made
