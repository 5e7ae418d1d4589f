"""Values as ViUR's encoders wrote them in JSON, the older one and the newer one."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from adjourn.gcp.legacy import entity_of, key_of, text_of

KEY = ".__key__"
_ENTITY = ".__entity__"
_OLDER_KEY = ".__ekey__"
_OLDER_TIME = "%d.%m.%Y %H:%M:%S"


class JsonKeyEncoder(json.JSONEncoder):
    """Writes what ViUR's newer decoder and `jsonDecodeObjectHook` read.

    Deferred calls do not use it: they are written by adjourn's own codec. Tuples come back as
    lists and integer keys as text, as in ViUR. A dict that would come back as something else, or a
    time without a zone, is a TypeError.
    """

    def iterencode(self, o: Any, _one_shot: bool = False) -> Iterator[str]:  # noqa: FBT001, FBT002 - as in json
        """Encode what JSON does not have, entities included, which json takes for dicts."""
        return super().iterencode(_told(o), _one_shot)


def jsonDecodeObjectHook(obj: dict[str, Any]) -> Any:
    """Return what ViUR's encoders wrote as this object, for `json.loads(..., object_hook=...)`.

    An object that only looks like one of theirs stays a dict.
    """
    try:
        if len(obj) == 1:
            ((marker, content),) = obj.items()
            return _READERS[marker](content) if marker in _READERS else obj
        for key in (KEY, _OLDER_KEY):
            if obj.keys() == {_ENTITY, key}:
                return entity_of(obj[key], obj[_ENTITY])
    except (ValueError, TypeError, ArithmeticError):
        return obj
    return obj


def _told(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return _told_mapping(value)
    if isinstance(value, list | tuple):
        return [_told(each) for each in value]
    for kind, marker, tell in _WRITERS:
        if isinstance(value, kind):
            return {marker: tell(value)}
    if _is(value, "key.Key"):
        return {KEY: text_of(value)}
    raise TypeError(f"ViUR's JSON has nothing for {type(value).__qualname__}.")


def _told_mapping(value: Mapping[Any, Any]) -> dict[Any, Any]:
    plain = {key: _told(each) for key, each in value.items()}
    if _is(value, "entity.Entity"):
        key = getattr(value, "key", None)
        return {_ENTITY: plain, KEY: text_of(key) if key else None}
    if any(name in {*_READERS, _ENTITY} for name in value):
        raise TypeError("A dict with a key such as '.__key__' would come back as something else.")
    return plain


def _is(value: object, name: str) -> bool:
    # Told by name, so that Google's package need not be imported for it.
    whole = f"google.cloud.datastore.{name}"
    return any(f"{cls.__module__}.{cls.__qualname__}" == whole for cls in type(value).__mro__)


def _moment(value: dt.datetime) -> str:
    if value.utcoffset() is None:
        raise TypeError(f"{value} has no time zone.")
    return value.astimezone(dt.UTC).isoformat()


def _read_moment(text: str) -> dt.datetime:
    try:
        return dt.datetime.strptime(text, _OLDER_TIME).replace(tzinfo=dt.UTC)
    except ValueError:
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
    (set | frozenset, ".__set__", lambda value: [_told(each) for each in value]),
)

_READERS: Mapping[str, Callable[[Any], object]] = {
    KEY: key_of,
    ".__datetime__": _read_moment,
    ".__timedelta__": lambda content: dt.timedelta(microseconds=content),
    ".__bytes__": _read_bytes,
    ".__decimal__": Decimal,
    ".__set__": lambda content: set(map(_frozen, content)),
}
