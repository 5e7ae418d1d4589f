"""The values of Datastore: how a task carries keys, entities, points and timestamps; copies.

Google's packages are imported when such a value is decoded, so that no cold start pays for them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from adjourn.serialization.types import Extension

if TYPE_CHECKING:
    from google.cloud.datastore import Entity, Key


def _encode_key(key: Any) -> object:
    return [key.project, key.namespace, key.database, *key.flat_path]


def _decode_key(state: list[Any]) -> object:
    from google.cloud.datastore.key import Key

    project, namespace, database, *path = state
    if type(project) is not str or not {type(namespace), type(database)} <= {str, type(None)}:
        raise TypeError("a key's project, namespace and database are str")
    return Key(*path, project=project, namespace=namespace, database=database)


def _encode_entity(entity: Any) -> object:
    # A meaning is valid as long as the property holds the same object that was read with it.
    meanings = {
        name: [meaning] if entity.get(name) is value else [meaning, value]
        for name, (meaning, value) in entity._meanings.items()  # noqa: SLF001 - equality has it
    }
    return {
        "key": entity.key,
        "exclude": sorted(entity.exclude_from_indexes),
        "properties": dict(entity),
        "meanings": meanings,
    }


def _decode_entity(state: dict[str, Any]) -> object:
    from google.cloud.datastore.entity import Entity
    from google.cloud.datastore.key import Key

    key = state["key"]
    if not (key is None or isinstance(key, Key)):
        raise TypeError("an entity's key is a Key")
    entity = Entity(key=key, exclude_from_indexes=state["exclude"])
    entity.update(state["properties"])
    for name, (meaning, *value) in state["meanings"].items():
        entity._meanings[name] = (meaning, value[0] if value else entity[name])  # noqa: SLF001
    return entity


def _encode_point(point: Any) -> object:
    return [point.latitude, point.longitude]


def _decode_point(state: list[Any]) -> object:
    from google.cloud.datastore.helpers import GeoPoint

    latitude, longitude = state
    if not {type(latitude), type(longitude)} <= {int, float}:
        raise TypeError("a point has two numbers")
    return GeoPoint(latitude, longitude)


def _encode_timestamp(timestamp: Any) -> object:
    plain = dt.datetime.combine(timestamp.date(), timestamp.timetz())
    return {"at": plain, "nanosecond": timestamp.nanosecond}


def _decode_timestamp(state: dict[str, Any]) -> object:
    from proto.datetime_helpers import (  # type: ignore[import-untyped]  # it has no types
        DatetimeWithNanoseconds,
    )

    at, nanosecond = state["at"], state["nanosecond"]
    if type(nanosecond) is not int or nanosecond // 1000 != at.microsecond:
        raise ValueError("the nanoseconds contradict the microseconds")
    parts = at.timetuple()[:6]
    timestamp: object = DatetimeWithNanoseconds(
        *parts, nanosecond=nanosecond, tzinfo=at.tzinfo, fold=at.fold
    )
    return timestamp


DATASTORE_VALUES = (
    Extension("key", "google.cloud.datastore.key.Key", list, _encode_key, _decode_key),
    Extension(
        "entity", "google.cloud.datastore.entity.Entity", dict, _encode_entity, _decode_entity
    ),
    Extension(
        "point", "google.cloud.datastore.helpers.GeoPoint", list, _encode_point, _decode_point
    ),
    Extension(
        "moment",
        "proto.datetime_helpers.DatetimeWithNanoseconds",
        dict,
        _encode_timestamp,
        _decode_timestamp,
    ),
)


def as_read(entity: Entity) -> Entity:
    """Return an entity as Datastore returns it after it was written.

    Raises:
        ValueError: A value cannot be stored in Datastore.
    """
    from google.cloud.datastore import helpers

    written = helpers.entity_to_protobuf(entity)
    read: Entity = helpers.entity_from_protobuf(written)
    return read


def with_values(key: Key, values: Mapping[str, object]) -> Entity:
    """Return an entity with this key and these values, such as a projected result."""
    from google.cloud.datastore import Entity

    made = Entity(key)
    made.update(values)
    return made
