"""Keys in the text form of App Engine, which names a project and no database but the default."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.cloud.datastore import Entity, Key


def key_of(text: str) -> "Key":
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


def entity_of(text: str | None, properties: Mapping[str, object]) -> "Entity":
    """Return an entity, or an embedded one without a key.

    Raises:
        ValueError: No key has this text.
    """
    from google.cloud.datastore import Entity

    entity = Entity(key_of(text) if text else None)
    entity.update(properties)
    return entity
