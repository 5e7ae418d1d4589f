"""Our own records as messages of Datastore, and back.

Made without the entities and the wrapped messages of Google's client, which take most of the time
of a small request. Its message classes are used as they are.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from functools import cache
from typing import Any

from adjourn.ports import Record, RecordKey
from adjourn.ports.entity_store import Value

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_SECOND, _MICROSECOND = dt.timedelta(seconds=1), dt.timedelta(microseconds=1)


@cache
def message_class(name: str) -> Any:
    """Return the class of a message of Datastore."""
    from google.cloud.datastore_v1 import types

    return getattr(types, name).pb()


def set_key(message: Any, project: str, database: str, key: RecordKey) -> None:
    """Set a message of a key; our own entities have no parent and no namespace."""
    message.partition_id.project_id = project
    message.partition_id.database_id = database
    message.path.add(kind=key.kind, name=key.name)


def set_properties(message: Any, record: Record, unindexed: Collection[str]) -> None:
    """Set the properties of a message of an entity.

    Raises:
        ValueError: A value cannot be stored.
    """
    for name, value in record.items():
        property_ = message.properties[name]
        _set_value(property_, value)
        if name in unindexed:
            property_.exclude_from_indexes = True


def record_of(message: Any) -> Record:
    """Return the record that a message of an entity holds."""
    return {name: _value(value) for name, value in message.properties.items()}


def _set_value(message: Any, value: Value) -> None:
    if value is None:
        message.null_value = 0
    elif isinstance(value, str):
        message.string_value = value
    elif isinstance(value, bool):
        message.boolean_value = value
    elif isinstance(value, int):
        message.integer_value = value
    elif isinstance(value, bytes):
        message.blob_value = value
    elif isinstance(value, float):
        message.double_value = value
    elif isinstance(value, dt.datetime):
        _set_time(message.timestamp_value, value)
    else:
        raise ValueError(f"Datastore has no value for {type(value).__qualname__}")


def _set_time(message: Any, time: dt.datetime) -> None:
    passed = (time if time.tzinfo else time.replace(tzinfo=dt.UTC)) - _EPOCH
    seconds, rest = divmod(passed, _SECOND)
    message.seconds, message.nanos = seconds, rest // _MICROSECOND * 1000
    message.SetInParent()  # also the beginning of 1970


def _value(message: Any) -> Any:
    kind = message.WhichOneof("value_type")
    if kind == "null_value":
        return None
    if kind == "timestamp_value":
        at = message.timestamp_value
        return _EPOCH + dt.timedelta(seconds=at.seconds, microseconds=at.nanos // 1000)
    if kind in {"key_value", "entity_value", "array_value", "geo_point_value", None}:
        from google.cloud.datastore.helpers import (  # none of ours has such a value
            _get_value_from_value_pb,
        )

        return _get_value_from_value_pb(message)
    return getattr(message, kind)
