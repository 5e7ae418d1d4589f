"""Values as ViUR's encoders wrote them in JSON, the older one and the newer one."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from adjourn.gcp.legacy import entity_of, is_google_entity, is_google_key, key_of, text_of
from adjourn.viur.keys import is_entity, is_key, to_viur

KEY = ".__key__"
_ENTITY = ".__entity__"
_OLDER_KEY = ".__ekey__"
_OLDER_TIME = "%d.%m.%Y %H:%M:%S"
# Up to 3.2.0 the format lacked a percent sign, and so the text the day: it says the first.
_OLDEST_TIME = "d.%m.%Y %H:%M:%S"


class JsonKeyEncoder(json.JSONEncoder):
    """Writes what ViUR's newer decoder and `jsonDecodeObjectHook` read.

    Deferred calls do not use it: they are written by adjourn's own codec. Tuples come back as
    lists and integer keys as text, as in ViUR; a time without a zone is taken for UTC. A subclass
    can extend `default`.

    Raises:
        TypeError: ViUR's JSON has nothing for a value, or a dict would come back as another value.
    """

    def default(self, o: Any) -> Any:
        """Return what is written for a value that JSON does not have.

        Raises:
            TypeError: ViUR's JSON has nothing for it.
        """
        if is_key(o) or is_google_key(o):
            return {KEY: text_of(o)}
        for kind, marker, write in _WRITERS:
            if isinstance(o, kind):
                return {marker: write(o)}
        if hasattr(o, "__iter__"):
            return list(o)
        raise TypeError(f"ViUR's JSON has nothing for {type(o).__qualname__}.")

    def iterencode(self, o: Any, _one_shot: bool = False) -> Iterator[str]:  # noqa: FBT001, FBT002 - as in json
        """Encode what JSON does not have, entities included, which json takes for dicts."""
        return super().iterencode(self._written(o), _one_shot)

    def _written(self, value: Any) -> Any:
        if value is None or isinstance(value, str | int | float):
            return value
        if isinstance(value, Mapping):
            return self._written_mapping(value)
        if isinstance(value, list | tuple):
            return [self._written(each) for each in value]
        instead = self.default(value)
        if isinstance(instead, dict) and instead.keys() & _READERS.keys():
            return {name: self._content(each) for name, each in instead.items()}
        return self._written(instead)

    def _content(self, content: Any) -> Any:
        return [self._written(each) for each in content] if isinstance(content, list) else content

    def _written_mapping(self, value: Mapping[Any, Any]) -> dict[Any, Any]:
        plain = {key: self._written(each) for key, each in value.items()}
        if is_entity(value) or is_google_entity(value):
            key = getattr(value, "key", None)
            return {_ENTITY: plain, KEY: text_of(key) if key else None}
        if any(name in {*_READERS, _ENTITY} for name in value):
            raise TypeError(
                "A dict with a key such as '.__key__' would come back as another value."
            )
        return plain


def jsonDecodeObjectHook(obj: dict[str, Any]) -> Any:
    """Return what ViUR's encoders wrote as this object, for `json.loads(..., object_hook=...)`.

    Keys and entities are ViUR's own where the application has imported it.

    Raises:
        UnreadableError: It has one of their markers, but its content cannot be read; a ValueError.
    """
    if len(obj) == 1:
        ((marker, content),) = obj.items()
        return _read(marker, content) if marker in _READERS else obj
    for key in (KEY, _OLDER_KEY):
        if obj.keys() == {_ENTITY, key}:
            return _read_entity(obj[key], obj[_ENTITY])
    return obj


class UnreadableError(ValueError):
    """The content of one of ViUR's markers cannot be read; the text does not quote it."""


def _read(marker: str, content: Any) -> Any:
    try:
        return _READERS[marker](content)
    except (ValueError, TypeError, ArithmeticError) as error:
        kind = marker.strip("._")
        raise UnreadableError(f"a {kind} cannot be read ({type(error).__name__})") from error


def _read_entity(key: Any, properties: Any) -> Any:
    try:
        return to_viur(entity_of(key, properties))
    except (ValueError, TypeError) as error:
        raise UnreadableError(f"an entity cannot be read ({type(error).__name__})") from error


def _moment(value: dt.datetime) -> str:
    aware = value if value.utcoffset() is not None else value.replace(tzinfo=dt.UTC)
    return aware.astimezone(dt.UTC).isoformat()


def _read_moment(text: str) -> dt.datetime:
    for form in (_OLDER_TIME, _OLDEST_TIME):
        try:
            return dt.datetime.strptime(text, form).replace(tzinfo=dt.UTC)
        except ValueError:
            continue
    return dt.datetime.fromisoformat(text)


def _read_bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _frozen(value: Any) -> Any:
    # A member of a set was no list: tuples are written as lists.
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


_WRITERS: tuple[tuple[Any, str, Callable[[Any], object]], ...] = (
    (dt.datetime, ".__datetime__", _moment),
    (dt.timedelta, ".__timedelta__", lambda value: value / dt.timedelta(microseconds=1)),
    (bytes, ".__bytes__", lambda value: base64.b64encode(value).decode("ascii")),
    (Decimal, ".__decimal__", str),
    (set | frozenset, ".__set__", list),
)

_READERS: Mapping[str, Callable[[Any], object]] = {
    KEY: lambda content: to_viur(key_of(content)),
    ".__datetime__": _read_moment,
    ".__timedelta__": lambda content: dt.timedelta(microseconds=content),
    ".__bytes__": _read_bytes,
    ".__decimal__": Decimal,
    ".__set__": lambda content: set(map(_frozen, content)),
}
