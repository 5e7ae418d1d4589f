"""Check entities, and collect their indexed values by property path."""

from collections.abc import Collection, Container, Iterable, Iterator
from typing import Any

from adjourn_local.datastore import index_values, keys
from adjourn_local.datastore.messages import invalid
from adjourn_local.datastore.value_rules import CHECKS, LONGEST_INDEXED

# https://cloud.google.com/datastore/docs/concepts/limits
_MAX_ENTITY = 1_048_572
_MAX_NAME = 1500
_MAX_UNINDEXED = 1_048_487
_MAX_NESTING = 20
_MAX_ELEMENTS = 20_000

IndexedValues = dict[str, list[bytes]]
_Leaf = tuple[str, Any, str, bool]
"""A property path, a value, the name of its type, and whether it is indexed."""

_TEXTS = frozenset({"string_value", "blob_value"})
_NESTED = frozenset({"array_value", "entity_value"})


def indexed_values(entity: Any, wanted: Container[str] | None = None) -> IndexedValues:
    """Check an entity, and return the distinct index values of each of its property paths.

    Its timestamps are rounded down to microseconds, as they are stored.

    Every indexed path is a key of the result; paths that are not `wanted` have no values.

    Each element of an array is a value, and the properties of an embedded entity have dotted paths
    (https://cloud.google.com/datastore/docs/concepts/indexes). Values are collected and checked in
    one pass, because both must visit every value.

    Raises:
        RpcError: The entity breaks a limit or a rule of the service. Its key is not checked.
    """
    size = entity.ByteSize()
    if size > _MAX_ENTITY:
        raise invalid(
            f"entity is too big: {keys.describe(entity.key)} has {size} bytes"
            f" and the limit is {_MAX_ENTITY}"
        )
    found: IndexedValues = {}
    for name, value, which, indexed in _leaves(entity.properties, "", 1, indexed=True):
        if which in CHECKS:
            CHECKS[which](value)
        if indexed:
            items = found.setdefault(name, [])
            if wanted is None or name in wanted:
                items.append(index_values.ENCODERS[which](value))
        # In a small entity every value is short enough.
        if size > LONGEST_INDEXED and which in _TEXTS:
            # Only its own exclusion counts, not that of an entity around it.
            limit = _MAX_UNINDEXED if value.exclude_from_indexes else LONGEST_INDEXED
            _check_length(name, value, which, limit)
    return _distinct(found)


def stored_values(entity: Any, names: Collection[str]) -> IndexedValues:
    """Return the index values of some property paths of an entity that is stored.

    It was checked when it was stored, so that only what is asked for is looked at.
    """
    found: IndexedValues = {}
    properties = entity.properties
    for name in names:
        value = properties.get(name)
        which = value.WhichOneof("value_type") if value is not None else None
        if "." in name or which in _NESTED:
            return indexed_values(entity, names)
        if value is not None and not value.exclude_from_indexes:
            found[name] = [index_values.ENCODERS[which](value)]
    return found


def check_all(mutations: Iterable[Any]) -> None:
    """Refuse mutations that are invalid in themselves, whatever is stored.

    Raises:
        RpcError: INVALID_ARGUMENT.
    """
    for mutation in mutations:
        operation = mutation.WhichOneof("operation")
        if operation != "delete":
            indexed_values(getattr(mutation, operation), ())


def _distinct(found: IndexedValues) -> IndexedValues:
    for name, items in found.items():
        if len(items) > 1:
            found[name] = sorted(set(items))
    return found


def _leaves(properties: Any, prefix: str, depth: int, *, indexed: bool) -> Iterator[_Leaf]:
    """Yield the values under a prefix, inside arrays and embedded entities, too."""
    if depth > _MAX_NESTING:
        raise invalid(f"Embedded entities are nested more than {_MAX_NESTING} deep.")
    for name in properties:
        if not 0 < len(name) * 4 <= _MAX_NAME or name[0] == "_":
            _check_property_name(name)
        value = properties[name]
        which = value.WhichOneof("value_type")
        counts = indexed and not value.exclude_from_indexes
        if which in index_values.ENCODERS:
            yield prefix + name, value, which, counts
        elif which == "array_value":
            yield from _elements(prefix + name, value, depth, indexed=indexed)
        else:
            yield from _embedded(prefix + name, value, which, depth, indexed=counts)


def _elements(name: str, value: Any, depth: int, *, indexed: bool) -> Iterator[_Leaf]:
    if value.exclude_from_indexes:
        raise invalid("Exclude from indexes cannot be set on a list value")
    items = value.array_value.values
    if indexed and len(items) > _MAX_ELEMENTS:
        raise invalid(f"The entity has more than {_MAX_ELEMENTS} index entries.")
    for item in items:
        which = item.WhichOneof("value_type")
        counts = indexed and not item.exclude_from_indexes
        if which in index_values.ENCODERS:
            yield name, item, which, counts
        elif which == "array_value":
            raise invalid("list_value cannot contain a Value containing another list_value.")
        else:
            yield from _embedded(name, item, which, depth, indexed=counts)


def _embedded(
    name: str, value: Any, which: str | None, depth: int, *, indexed: bool
) -> Iterator[_Leaf]:
    if which is None:
        raise invalid(f'The value "{name}" does not contain a value.')
    return _leaves(value.entity_value.properties, f"{name}.", depth + 1, indexed=indexed)


def _check_property_name(name: str) -> None:
    if not name:
        raise invalid("The property.name is the empty string.")
    if len(name.encode()) > _MAX_NAME:
        raise invalid(f"The property.name is longer than {_MAX_NAME} bytes.")
    if keys.is_reserved(name):
        raise invalid(f'The property.name "{name}" is reserved.')


def _check_length(name: str, value: Any, which: str, limit: int) -> None:
    data = value.blob_value if which == "blob_value" else value.string_value.encode()
    if len(data) > limit:
        raise invalid(f'The value of property "{name}" is longer than {limit} bytes.')
