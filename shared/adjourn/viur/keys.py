"""Keys and entities of ViUR's own classes, as the codec carries them.

They come back as ViUR's where the application has imported it, else as those of
`google.cloud.datastore`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from adjourn.gcp.legacy import entity_with, is_google_entity, is_google_key, key_at
from adjourn.serialization.types import Extension
from adjourn.viur import installed

_KEYS = {"viur.core.db.types.Key", "viur.datastore.types.Key"}
_ENTITIES = {"viur.core.db.types.Entity", "viur.datastore.types.Entity"}


class KeyParts(NamedTuple):
    """What makes a key.

    Attributes:
        project: Its project.
        namespace: None for the default one.
        database: None for the default one.
        path: Kinds and ids or names, from the root on; the last id is left out of a partial key.
    """

    project: str
    namespace: str | None
    database: str | None
    path: Sequence[str | int]


class EntityParts(NamedTuple):
    """What makes an entity."""

    key: KeyParts | None
    exclude: Sequence[str]
    properties: Mapping[str, object]


def is_key(value: object) -> bool:
    """Whether a value is one of ViUR's keys."""
    return _is_one_of(_KEYS, value)


def is_entity(value: object) -> bool:
    """Whether a value is one of ViUR's entities."""
    return _is_one_of(_ENTITIES, value)


def key_parts(key: Any) -> KeyParts:
    """Return what makes a key of ViUR's."""
    if hasattr(key, "flat_path"):
        return KeyParts(key.project, key.namespace, key.database, list(key.flat_path))
    path: list[str | int] = []
    each = key
    while each is not None:
        path[:0] = [each.kind] if each.id_or_name is None else [each.kind, each.id_or_name]
        each = each.parent
    return KeyParts(_older_project(), None, None, path)


def entity_parts(entity: Any) -> EntityParts:
    """Return what makes an entity of ViUR's."""
    key = None if entity.key is None else key_parts(entity.key)
    return EntityParts(key, sorted(entity.exclude_from_indexes), dict(entity))


def key_of(parts: KeyParts) -> object:
    """Return the key that has these parts, ViUR's if it is imported.

    Raises:
        ValueError: ViUR up to 3.7 has no such key: it knows no namespaces and databases.
    """
    db = installed.database()
    if db is None:
        return google_key_of(parts)
    project, namespace, database, path = parts
    if installed.older_database() is None:
        return db.Key(*path, project=project, namespace=namespace, database=database)
    if namespace or database:
        raise ValueError("ViUR up to 3.7 knows neither namespaces nor databases")
    key = None
    for place in range(0, len(path), 2):
        key = db.Key(*path[place : place + 2], parent=key)
    return key


def google_key_of(parts: KeyParts) -> object:
    """Return the key of `google.cloud.datastore` that has these parts."""
    project, namespace, database, path = parts
    return key_at(path, project=project, namespace=namespace, database=database)


def to_google(value: Any) -> Any:
    """Return a value of a filter as `google.cloud.datastore` takes it."""
    if isinstance(value, list | tuple | set | frozenset):
        return [to_google(each) for each in value]
    return google_key_of(key_parts(value)) if is_key(value) else value


def to_google_entry(entity: Any) -> Any:
    """Return an entity without its properties, as `google.cloud.datastore` has it."""
    return entity_with(google_key_of(key_parts(entity.key)), (), {})


def to_viur(value: Any) -> Any:
    """Return what Google's client has read as ViUR's code expects it, if ViUR is imported."""
    if isinstance(value, list):
        return [to_viur(each) for each in value]
    if installed.database() is None or is_key(value) or is_entity(value):
        return value
    if is_google_key(value):
        return key_of(key_parts(value))
    if is_google_entity(value):
        key = None if value.key is None else key_parts(value.key)
        properties = {name: to_viur(each) for name, each in value.items()}
        return _entity(EntityParts(key, sorted(value.exclude_from_indexes), properties))
    return value


def _entity(parts: EntityParts) -> object:
    db = installed.database()
    if db is None:
        key = None if parts.key is None else google_key_of(parts.key)
        return entity_with(key, parts.exclude, parts.properties)
    entity = db.Entity(None if parts.key is None else key_of(parts.key))
    entity.exclude_from_indexes = set(parts.exclude)
    entity.update(parts.properties)
    return entity


def _older_project() -> str:
    import importlib  # noqa: PLC0415 - for those who have such keys

    project: str = importlib.import_module("viur.datastore.types").projectID
    return project


def _is_one_of(names: set[str], value: object) -> bool:
    # Compared by name: ViUR may not be there, and importing it would take a second.
    return any(f"{cls.__module__}.{cls.__qualname__}" in names for cls in type(value).__mro__)


def _decode_key(state: list[Any]) -> object:
    project, namespace, database, *path = state
    return key_of(KeyParts(project, namespace, database, path))


def _decode_entity(state: dict[str, Any]) -> object:
    key = state["key"]
    parts = None if key is None else KeyParts(key[0], key[1], key[2], key[3:])
    return _entity(EntityParts(parts, state["exclude"], state["properties"]))


def _flat(parts: KeyParts) -> list[object]:
    return [parts.project, parts.namespace, parts.database, *parts.path]


VIUR_VALUES = (
    Extension("viurkey", "adjourn.viur.keys.KeyParts", list, _flat, _decode_key),
    Extension(
        "viurentity",
        "adjourn.viur.keys.EntityParts",
        dict,
        lambda it: {
            "key": None if it.key is None else _flat(it.key),
            "exclude": list(it.exclude),
            "properties": dict(it.properties),
        },
        _decode_entity,
    ),
)
