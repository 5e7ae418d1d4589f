"""The metadata kinds `__namespace__`, `__kind__` and `__property__`.

Their entities are computed from the catalog for each query
(https://cloud.google.com/datastore/docs/concepts/metadataqueries).
"""

from collections.abc import Iterator

from adjourn_local.datastore import index_values, keys
from adjourn_local.datastore.entity_records import Row
from adjourn_local.datastore.entity_tables import EntityTables
from adjourn_local.datastore.indexes import KIND, Column, Shape
from adjourn_local.datastore.keys import Partition
from adjourn_local.datastore.messages import Entity, Key
from adjourn_local.datastore.view import View

_NAMESPACE, _KIND, _PROPERTY = "__namespace__", "__kind__", "__property__"
# The default namespace has no name; its entity has this id.
_DEFAULT_NAMESPACE = 1

Element = tuple[str, str | int]


def rows(store: EntityTables, view: View, partition: Partition, kind: str) -> list[Row]:
    """Return the entities of a metadata kind as rows in key order."""
    if kind == _NAMESPACE:
        made = [_row(partition, [element], []) for element in _namespaces(store, view, partition)]
    elif kind == _KIND:
        made = [_row(partition, [(_KIND, name)], []) for name in _kinds(store, view, partition)]
    else:
        made = list(_properties(store, view, partition))
    return sorted(made)


def _namespaces(store: EntityTables, view: View, home: Partition) -> Iterator[Element]:
    for partition in store.catalog.partitions():
        prefix = store.catalog.prefix(partition)
        if partition[:2] == home[:2] and prefix and view.has_entities(prefix):
            yield (_NAMESPACE, partition.namespace or _DEFAULT_NAMESPACE)


def _kinds(store: EntityTables, view: View, partition: Partition) -> Iterator[str]:
    for name, indexes in store.catalog.kinds(partition).items():
        if view.has_rows(indexes.by_shape[KIND].prefix):
            yield name


def _properties(store: EntityTables, view: View, partition: Partition) -> Iterator[Row]:
    for kind, indexes in store.catalog.kinds(partition).items():
        for name in indexes.properties:
            found = _representations(store, view, partition, kind, name)
            if found:
                yield _row(partition, [(_KIND, kind), (_PROPERTY, name)], found)


def _representations(
    store: EntityTables, view: View, partition: Partition, kind: str, name: str
) -> list[str]:
    index = store.ensure_index(partition, kind, Shape((Column(name),)))
    if index is None:
        return []
    tags = index_values.REPRESENTATIONS
    if index.since <= view.version:
        return [
            representation
            for tag, representation in tags.items()
            if view.has_rows(index.prefix + tag)
        ]
    old = [row for _, rows in store.rows_of_kind(view, partition, kind, index) for row in rows]
    return [
        representation
        for tag, representation in tags.items()
        if any(r.startswith(index.prefix + tag) for r in old)
    ]


def _row(partition: Partition, path: list[Element], representations: list[str]) -> Row:
    key = Key()
    for kind, identifier in path:
        if isinstance(identifier, int):
            key.path.add(kind=kind, id=identifier)
        else:
            key.path.add(kind=kind, name=identifier)
    keys.set_partition(key, partition)
    entity = Entity(key=key)
    for representation in representations:
        listed = entity.properties["property_representation"].array_value
        listed.values.add(string_value=representation)
    return keys.encode_path(key.path), 0, 0, 1, 0, 0, entity.SerializeToString()
