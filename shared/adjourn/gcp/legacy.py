"""Keys in the text form of App Engine, and queries as ViUR writes them down."""

from __future__ import annotations

from collections.abc import Mapping
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


def query_of(client: Client, told: Mapping[str, Any]) -> Query:
    """Return the query that has this kind, and these filters, orders and distinct properties.

    Raises:
        ValueError: It is none.
        TypeError: It is none.
    """
    from google.cloud.datastore.query import PropertyFilter

    query: Query = client.query(kind=told["kind"])
    for condition, value in (told["filters"] or {}).items():
        name, operator = condition.split(" ")
        are_several = isinstance(value, list) and operator not in _OF_LISTS
        for each in value if are_several else [value]:
            query.add_filter(filter=PropertyFilter(name, operator, each))
    query.order = [n if number in _UPWARDS else f"-{n}" for n, number in told["orders"] or ()]
    query.distinct_on = told["distinct"] or ()
    return query
