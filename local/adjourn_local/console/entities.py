"""All entities of a database, as a person looks at them and changes them."""

import datetime as dt
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from google.cloud.datastore import Client, Entity, Key

from adjourn.gcp.datastore_api import translated
from adjourn_local.console.costs import spend
from adjourn_local.console.formats import AddressError
from adjourn_local.console.records import cursor, next_page

EDITABLE = (str, int, float, bool, dt.datetime, type(None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """A property of an entity.

    Attributes:
        name: Its name.
        type: The type of its value.
        value: The value, as Python writes it.
        text: The value as it is edited, in JSON; None if it cannot be.
        is_indexed: Whether queries can find it.
    """

    name: str
    type: str
    value: str
    text: str | None
    is_indexed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityPage:
    """Some entities of a kind.

    Attributes:
        rows: The entities.
        next: The cursor of the next page; None if this is the last.
    """

    rows: Sequence[Entity]
    next: str | None


class Entities:
    """The entities of a database, through Google's client.

    Args:
        client: Returns the client.
    """

    def __init__(self, client: Callable[[], Client]) -> None:
        self._client = client

    def namespaces(self) -> list[str]:
        """Return the namespaces that have entities.

        Raises:
            StoreError: Datastore could not be reached or refused.
        """
        return [str(key.name or "") for key in self._metadata("__namespace__", "")]

    def kinds(self, namespace: str) -> list[str]:
        """Return the kinds of a namespace.

        Raises:
            StoreError: Datastore could not be reached or refused.
        """
        return [str(key.name) for key in self._metadata("__kind__", namespace)]

    def page(self, kind: str, namespace: str, *, size: int, after: str | None) -> EntityPage:
        """Return some entities of a kind, by key.

        Raises:
            StoreError: Datastore could not be reached or refused.
            AddressError: The cursor is none.
        """
        with translated():
            query = self._client().query(kind=kind, namespace=namespace or None)
            results = query.fetch(limit=size, start_cursor=cursor(after))
            rows = list(results)
        spend(reads=max(1, len(rows)))
        return EntityPage(rows=rows, next=next_page(results, len(rows), size))

    def get(self, address: str) -> Entity | None:
        """Return an entity by its address, None if there is none.

        Raises:
            StoreError: Datastore could not be reached or refused.
            AddressError: The address is none.
        """
        with translated():
            found: Entity | None = self._client().get(self.key(address))
        spend(reads=1)
        return found

    def put(self, entity: Entity) -> None:
        """Write an entity.

        Raises:
            StoreError: Datastore could not be reached or refused.
        """
        with translated():
            self._client().put(entity)
        spend(writes=1)

    def delete(self, address: str) -> None:
        """Delete an entity.

        Raises:
            StoreError: Datastore could not be reached or refused.
            AddressError: The address is none.
        """
        with translated():
            self._client().delete(self.key(address))
        spend(writes=1)

    def key(self, address: str) -> Key:
        """Return the key of an address, which is JSON: the namespace, then the flat path.

        Raises:
            AddressError: The address is none.
        """
        try:
            namespace, *path = json.loads(address)
            key: Key = self._client().key(*path, namespace=namespace or None)
        except (TypeError, ValueError):
            raise AddressError(f"{address!r} is not the address of an entity") from None
        if key.is_partial:
            raise AddressError(f"{address!r} is not the address of an entity")
        return key

    def _metadata(self, kind: str, namespace: str) -> list[Key]:
        with translated():
            query = self._client().query(kind=kind, namespace=namespace or None)
            query.keys_only()
            found = [entity.key for entity in query.fetch()]
        spend(reads=max(1, len(found)))
        return found


def address(key: Key) -> str:
    """Return the address of a key, for links and forms."""
    return json.dumps([key.namespace or "", *key.flat_path])


def properties(entity: Entity) -> list[Property]:
    """Return the properties of an entity, by name."""
    return [
        Property(
            name=name,
            type=type(value).__name__,
            value=repr(value),
            text=_text(value),
            is_indexed=name not in entity.exclude_from_indexes,
        )
        for name, value in sorted(entity.items())
    ]


def edited(old: Any, text: str) -> Any:
    """Return the value that somebody typed in the place of another, as JSON.

    A time is a text in ISO 8601 with an offset.

    Raises:
        AddressError: The text is no such value, or of another type than the old one.
    """
    try:
        value = json.loads(text)
        if isinstance(old, dt.datetime) and isinstance(value, str):
            value = dt.datetime.fromisoformat(value)
    except ValueError:
        raise AddressError(f'{text} is not JSON such as 1, true, null or "text"') from None
    if isinstance(old, float) and type(value) is int:
        value = float(value)
    if value is None or old is None or _type(value) is _type(old):
        return value
    raise AddressError(f"{text} is no {_type(old).__name__}, which the value was")


def _type(value: object) -> type:
    """Return the type of a value, the same for all classes of times."""
    return dt.datetime if isinstance(value, dt.datetime) else type(value)


def _text(value: object) -> str | None:
    if isinstance(value, dt.datetime):
        return json.dumps(value.isoformat())
    return json.dumps(value, ensure_ascii=False) if isinstance(value, EDITABLE) else None
