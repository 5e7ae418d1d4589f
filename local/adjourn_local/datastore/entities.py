"""Check entities, and collect their indexed values by property path."""

from collections.abc import Collection, Container, Iterable
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
_TEXTS = frozenset({"string_value", "blob_value"})
_PLAIN = index_values.ENCODERS.keys() - CHECKS.keys()
_NESTED = frozenset({"array_value", "entity_value"})


def checked(entity: Any, unread: Container[str]) -> tuple[bytes, IndexedValues]:
    """Check an entity, and return it as it is stored and its values as `indexed_values` does.

    Its timestamps are rounded down to microseconds, as they are stored.

    Raises:
        RpcError: The entity breaks a limit or a rule of the service. Its key is not checked.
    """
    body: bytes = entity.SerializeToString(deterministic=True)
    if len(body) > _MAX_ENTITY:
        raise invalid(
            f"entity is too big: {keys.describe(entity.key)} has {len(body)} bytes"
            f" and the limit is {_MAX_ENTITY}"
        )
    values = _Values(unread, is_large=len(body) > LONGEST_INDEXED)
    values.add(entity.properties, "", 1, indexed=True)
    if values.are_rounded:
        body = entity.SerializeToString(deterministic=True)
    return body, values.distinct()


def indexed_values(entity: Any, unread: Container[str] = ()) -> IndexedValues:
    """Return the distinct index values of each indexed property path of an entity.

    Each element of an array is a value, and the properties of an embedded entity have dotted paths
    (https://cloud.google.com/datastore/docs/concepts/indexes). Paths that are `unread` are left
    out, since looking at each value of an entity is most of what a commit takes.
    """
    values = _Values(unread, is_large=False)
    values.add(entity.properties, "", 1, indexed=True)
    return values.distinct()


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
            return indexed_values(entity)
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
            checked(getattr(mutation, operation), ())


class _Values:
    """The index values of an entity, while they are collected and checked.

    Both are one pass, because both must visit every value. In an entity that is not large, every
    text is short enough.
    """

    def __init__(self, unread: Container[str], *, is_large: bool) -> None:
        self.are_rounded = False
        self._found: IndexedValues = {}
        self._unread = unread
        self._is_large = is_large
        # Paths of which a value that needs no check is of no interest.
        self._skipped = () if is_large else unread

    def distinct(self) -> IndexedValues:
        """Return the distinct values of each path."""
        for path, items in self._found.items():
            if len(items) > 1:
                self._found[path] = sorted(set(items))
        return self._found

    def add(self, properties: Any, prefix: str, depth: int, *, indexed: bool) -> None:
        """Add the values under a prefix, inside arrays and embedded entities, too."""
        if depth > _MAX_NESTING:
            raise invalid(f"Embedded entities are nested more than {_MAX_NESTING} deep.")
        skipped = self._skipped
        for name in properties:
            if not 0 < len(name) * 4 <= _MAX_NAME or name[0] == "_":
                _check_property_name(name)
            path, value = prefix + name, properties[name]
            which = value.WhichOneof("value_type")
            if which in _PLAIN and path in skipped:
                continue
            if which in index_values.ENCODERS:
                self._add_one(path, value, which, indexed=indexed)
            elif which == "array_value":
                self._add_elements(path, value, depth, indexed=indexed)
            else:
                self._add_embedded(path, value, depth, indexed=indexed)

    def _add_one(self, path: str, value: Any, which: str, *, indexed: bool) -> None:
        if which in CHECKS and CHECKS[which](value):
            self.are_rounded = True
        if indexed and path not in self._unread and not value.exclude_from_indexes:
            self._found.setdefault(path, []).append(index_values.ENCODERS[which](value))
        if self._is_large and which in _TEXTS:
            # Only its own exclusion counts, not that of an entity around it.
            limit = _MAX_UNINDEXED if value.exclude_from_indexes else LONGEST_INDEXED
            _check_length(path, value, which, limit)

    def _add_elements(self, path: str, value: Any, depth: int, *, indexed: bool) -> None:
        if value.exclude_from_indexes:
            raise invalid("Exclude from indexes cannot be set on a list value")
        items = value.array_value.values
        if indexed and len(items) > _MAX_ELEMENTS:
            raise invalid(f"The entity has more than {_MAX_ELEMENTS} index entries.")
        for at in range(len(items)):  # iterating over messages takes longer
            item = items[at]
            which = item.WhichOneof("value_type")
            if which in _PLAIN and path in self._skipped:
                continue
            if which in index_values.ENCODERS:
                self._add_one(path, item, which, indexed=indexed)
            elif which == "array_value":
                raise invalid("list_value cannot contain a Value containing another list_value.")
            else:
                self._add_embedded(path, item, depth, indexed=indexed)

    def _add_embedded(self, path: str, value: Any, depth: int, *, indexed: bool) -> None:
        if not value.HasField("entity_value"):
            raise invalid(f'The value "{path}" does not contain a value.')
        inner = indexed and not value.exclude_from_indexes
        self.add(value.entity_value.properties, f"{path}.", depth + 1, indexed=inner)


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
