"""Keys in the text form of App Engine, and queries as ViUR writes them down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.cloud.datastore import Client, Entity, Key, Query

# The numbers of ViUR's orders that run upwards; the others run downwards.
_UPWARDS = (1, 4)
_OF_LISTS = ("IN", "NOT_IN", "!=")


def key_of(text: str) -> Key:
    """Return the key that has this text.

    Raises:
        ValueError: None has.
    """
    from google.cloud.datastore import Key
    from google.protobuf.message import (  # type: ignore[import-untyped]  # it has no types
        DecodeError,
    )

    try:
        key: Key = Key.from_legacy_urlsafe(text)
    except (DecodeError, TypeError, IndexError) as error:
        raise ValueError(f"no key has the text {text!r:.50}") from error
    return key


def text_of(key: Any) -> str:
    """Return the text of a key.

    Raises:
        ValueError: It is one of a named database.
    """
    text: str = key.to_legacy_urlsafe().decode("ascii")
    return text


def entity_of(text: str | None, properties: Mapping[str, object]) -> Entity:
    """Return an entity, or an embedded one without a key.

    Raises:
        ValueError: No key has this text.
    """
    from google.cloud.datastore import Entity

    entity = Entity(key_of(text) if text else None)
    entity.update(properties)
    return entity


def query_of(client: Client, described: Mapping[str, Any]) -> Query:
    """Return the query that has this kind, and these filters, orders and distinct properties.

    Raises:
        ValueError: It is none.
        TypeError: It is none.
    """
    from google.cloud.datastore.query import Or, PropertyFilter

    query: Query = client.query(kind=described["kind"])
    for condition, value in (described["filters"] or {}).items():
        name, operator = condition.split(" ")
        are_several = isinstance(value, list) and operator not in _OF_LISTS
        for each in value if are_several else [value]:
            query.add_filter(filter=PropertyFilter(name, operator, each))
    for group in described.get("or_filters") or ():
        pairs = [(condition.split(" "), value) for condition, value in group]
        each_of = [PropertyFilter(name, operator, value) for (name, operator), value in pairs]
        query.add_filter(filter=Or(each_of))
    orders = described["orders"] or ()
    query.order = [n if number in _UPWARDS else f"-{n}" for n, number in orders]
    query.distinct_on = described["distinct"] or ()
    return query


def key_at(
    path: Sequence[str | int], *, project: str, namespace: str | None, database: str | None
) -> Key:
    """Return the key with this path of kinds and ids or names, from the root on."""
    from google.cloud.datastore import Key

    return Key(*path, project=project, namespace=namespace, database=database)


def entity_with(
    key: object, exclude_from_indexes: Sequence[str], properties: Mapping[str, object]
) -> Entity:
    """Return an entity, or an embedded one if the key is None."""
    from google.cloud.datastore import Entity

    entity = Entity(key, exclude_from_indexes=list(exclude_from_indexes))
    entity.update(properties)
    return entity


def is_google_key(value: object) -> bool:
    """Whether a value is a key of `google.cloud.datastore`."""
    return _is(value, "google.cloud.datastore.key.Key")


def is_google_entity(value: object) -> bool:
    """Whether a value is an entity of `google.cloud.datastore`."""
    return _is(value, "google.cloud.datastore.entity.Entity")


def _is(value: object, name: str) -> bool:
    # Told by name, so that Google's package need not be imported for it.
    return any(f"{cls.__module__}.{cls.__qualname__}" == name for cls in type(value).__mro__)
