"""What an entity may hold, and which of its values are indexed under which property path."""

from typing import Any

from adjourn_local.datastore import keys, values
from adjourn_local.datastore.messages import invalid

# https://cloud.google.com/datastore/docs/concepts/limits
_MAX_ENTITY = 1_048_572
_MAX_NAME = 1500
_MAX_INDEXED = 1500
_MAX_UNINDEXED = 1_048_487
_MAX_NESTING = 20

_UNLIMITED = {
    "null_value",
    "boolean_value",
    "integer_value",
    "double_value",
    "timestamp_value",
    "geo_point_value",
}

IndexedValues = dict[str, list[bytes]]


def indexed_values(entity: Any) -> IndexedValues:
    """Return the distinct index values of each property path of a stored entity.

    An array counts by its elements, and the properties of an embedded entity appear under a
    dotted path (https://cloud.google.com/datastore/docs/concepts/indexes).
    """
    found: IndexedValues = {}
    _collect(entity.properties, "", found)
    for name, items in found.items():
        if len(items) > 1:
            found[name] = sorted(set(items))
    return found


def _collect(properties: Any, prefix: str, found: IndexedValues) -> None:
    for name, value in properties.items():
        if value.exclude_from_indexes:
            continue
        if value.WhichOneof("value_type") == "array_value":
            for item in value.array_value.values:
                if not item.exclude_from_indexes:
                    _collect_value(prefix + name, item, found)
        else:
            _collect_value(prefix + name, value, found)


def _collect_value(name: str, value: Any, found: IndexedValues) -> None:
    encoded = values.encode(value)
    if encoded is not None:
        if name in found:
            found[name].append(encoded)
        else:
            found[name] = [encoded]
    elif value.HasField("entity_value"):
        _collect(value.entity_value.properties, f"{name}.", found)


def check_entity(entity: Any) -> None:
    """Refuse an entity that the service refuses, by the property at fault.

    Raises:
        RpcError: A limit or a rule of the service is broken; the key is not looked at.
    """
    if entity.ByteSize() > _MAX_ENTITY:
        raise invalid(
            f"entity is too big: {keys.describe(entity.key)} has {entity.ByteSize()} bytes"
            f" and the limit is {_MAX_ENTITY}"
        )
    _check_properties(entity.properties, 1, indexed=True)


def _check_properties(properties: Any, depth: int, *, indexed: bool) -> None:
    if depth > _MAX_NESTING:
        raise invalid(f"Embedded entities are nested more than {_MAX_NESTING} deep.")
    for name, value in properties.items():
        _check_property_name(name)
        which = value.WhichOneof("value_type")
        if which not in _UNLIMITED:
            _check_value(name, value, which, depth, indexed=indexed)


def _check_property_name(name: str) -> None:
    if 0 < len(name) * 4 <= _MAX_NAME and name[0] != "_":
        return
    if not name:
        raise invalid("The property.name is the empty string.")
    if len(name.encode()) > _MAX_NAME:
        raise invalid(f"The property.name is longer than {_MAX_NAME} bytes.")
    if keys.is_reserved(name):
        raise invalid(f'The property.name "{name}" is reserved.')


def _check_value(name: str, value: Any, which: str | None, depth: int, *, indexed: bool) -> None:
    if which == "string_value":
        _check_length(name, value.string_value, value, indexed=indexed)
    elif which == "blob_value":
        _check_length(name, value.blob_value, value, indexed=indexed)
    elif which == "array_value":
        _check_array(name, value, depth, indexed=indexed)
    elif which == "entity_value":
        inner = indexed and not value.exclude_from_indexes
        _check_properties(value.entity_value.properties, depth + 1, indexed=inner)
    elif which is None:
        raise invalid(f'The value "{name}" does not contain a value.')


def _check_length(name: str, content: str | bytes, value: Any, *, indexed: bool) -> None:
    limit = _MAX_INDEXED if indexed and not value.exclude_from_indexes else _MAX_UNINDEXED
    if len(content) * 4 <= limit:
        return
    size = len(content.encode() if isinstance(content, str) else content)
    if size > limit:
        raise invalid(f'The value of property "{name}" is longer than {limit} bytes.')


def _check_array(name: str, value: Any, depth: int, *, indexed: bool) -> None:
    if value.exclude_from_indexes:
        raise invalid("Exclude from indexes cannot be set on a list value")
    for item in value.array_value.values:
        which = item.WhichOneof("value_type")
        if which == "array_value":
            raise invalid("list_value cannot contain a Value containing another list_value.")
        _check_value(name, item, which, depth, indexed=indexed)
