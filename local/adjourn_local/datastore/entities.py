"""What an entity may hold, and which of its values are indexed under which property path."""

from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any

from adjourn_local.datastore import keys, values
from adjourn_local.datastore.messages import invalid

# https://cloud.google.com/datastore/docs/concepts/limits
_MAX_ENTITY = 1_048_572
_MAX_NAME = 1500
_MAX_INDEXED = 1500
_MAX_UNINDEXED = 1_048_487
_MAX_NESTING = 20
_MAX_ELEMENTS = 20_000

IndexedValues = dict[str, list[bytes]]

_TEXTS = frozenset({"string_value", "blob_value"})


@dataclass(slots=True)
class _Collection:
    """What is found in an entity; `wanted` are the paths whose values matter, None for all."""

    wanted: Container[str] | None
    found: IndexedValues = field(default_factory=dict)


def indexed_values(entity: Any, wanted: Container[str] | None = None) -> IndexedValues:
    """Return the distinct index values of each property path of an entity.

    Every indexed path is a key of the answer; one that is not `wanted` stands there without values.

    An array counts by its elements, and the properties of an embedded entity appear under a
    dotted path (https://cloud.google.com/datastore/docs/concepts/indexes). Reading them and
    checking them are one pass, since both must look at every value.

    Raises:
        RpcError: The entity breaks a limit or a rule of the service; the key is not looked at.
    """
    if entity.ByteSize() > _MAX_ENTITY:
        raise invalid(
            f"entity is too big: {keys.describe(entity.key)} has {entity.ByteSize()} bytes"
            f" and the limit is {_MAX_ENTITY}"
        )
    into = _Collection(wanted)
    _collect(entity.properties, "", into, 1)
    found = into.found
    for name, items in found.items():
        if len(items) > 1:
            found[name] = sorted(set(items))
    return found


def _collect(properties: Any, prefix: str, found: _Collection | None, depth: int) -> None:
    """Collect the values below a prefix, or only check them if there is nothing to collect into."""
    if depth > _MAX_NESTING:
        raise invalid(f"Embedded entities are nested more than {_MAX_NESTING} deep.")
    for name, value in properties.items():
        if not 0 < len(name) * 4 <= _MAX_NAME or name[0] == "_":
            _check_property_name(name)
        into = None if value.exclude_from_indexes else found
        which = value.WhichOneof("value_type")
        if which == "array_value":
            _collect_array(prefix + name, value, into, depth)
        else:
            _collect_value(prefix + name, value, which, into, depth)


def _collect_value(
    name: str, value: Any, which: str | None, into: _Collection | None, depth: int
) -> None:
    if into is not None and (encoder := values.ENCODERS.get(which)):
        items = into.found.get(name)
        if items is None:
            items = into.found[name] = []
        if into.wanted is None or name in into.wanted:
            items.append(encoder(value))
        if which in _TEXTS:
            _check_length(name, value, which, _MAX_INDEXED)
    elif which == "entity_value":
        _collect(value.entity_value.properties, f"{name}.", into, depth + 1)
    elif which is None:
        raise invalid(f'The value "{name}" does not contain a value.')
    else:
        _check_length(name, value, which, _MAX_UNINDEXED)


def _collect_array(name: str, value: Any, found: _Collection | None, depth: int) -> None:
    if value.exclude_from_indexes:
        raise invalid("Exclude from indexes cannot be set on a list value")
    if found is not None and len(value.array_value.values) > _MAX_ELEMENTS:
        raise invalid(f"The entity has more than {_MAX_ELEMENTS} index entries.")
    for item in value.array_value.values:
        which = item.WhichOneof("value_type")
        if which == "array_value":
            raise invalid("list_value cannot contain a Value containing another list_value.")
        into = None if item.exclude_from_indexes else found
        _collect_value(name, item, which, into, depth)


def _check_property_name(name: str) -> None:
    if not name:
        raise invalid("The property.name is the empty string.")
    if len(name.encode()) > _MAX_NAME:
        raise invalid(f"The property.name is longer than {_MAX_NAME} bytes.")
    if keys.is_reserved(name):
        raise invalid(f'The property.name "{name}" is reserved.')


def _check_length(name: str, value: Any, which: str | None, limit: int) -> None:
    if which == "string_value":
        text = value.string_value
        size = len(text) if len(text) * 4 <= limit else len(text.encode())
    elif which == "blob_value":
        size = len(value.blob_value)
    else:
        return
    if size > limit:
        raise invalid(f'The value of property "{name}" is longer than {limit} bytes.')
