"""What the newsletter keeps in Datastore."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from google.cloud import datastore


@cache
def client() -> datastore.Client:
    """Return this process's client, made on first use."""
    return datastore.Client()


def save(kind: str, name: str, **values: Any) -> None:
    """Store an entity, in the place of one of the same name."""
    entity = datastore.Entity(client().key(kind, name))
    entity.update(values)
    client().put(entity)


def find(kind: str, name: str) -> Mapping[str, Any] | None:
    """Return an entity, None if there is none."""
    found: Mapping[str, Any] | None = client().get(client().key(kind, name))
    return found


def subscribers() -> datastore.Query:
    """Return the query for all subscribers."""
    query: datastore.Query = client().query(kind="Subscriber")
    return query
