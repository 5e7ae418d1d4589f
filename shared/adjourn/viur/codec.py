"""The codec of applications in ViUR's style: what ViUR's encoder takes, it takes, too.

What adjourn's own codec carries comes back as what it was. All else becomes what ViUR would have
made of it, or nearer to what it was:

- subclasses of str, int, float and bytes, members of IntEnum and StrEnum: the plain value
- mappings (defaultdict, OrderedDict, Counter): a dict; named tuples: a tuple
- whatever else can be iterated over (dict views, ranges, generators, deques): a list
- times with a zone of pytz: the same moment in UTC
- `db.Key` and `db.Entity` of ViUR: the same, see `adjourn.viur.keys`
- a SkeletonInstance: a dict of its bones' values
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from adjourn.serialization.codec import Codec
from adjourn.serialization.types import Extension, type_name
from adjourn.viur.keys import VIUR_VALUES, entity_parts, is_entity, is_key, key_parts
from adjourn.viur.queries import VIUR_RUN

_EXACT_ZONES = {"builtins.NoneType", "datetime.timezone", "zoneinfo.ZoneInfo"}


class ViurCodec(Codec):
    """Carries what ViUR's encoder takes."""

    def __init__(self, extensions: Iterable[Extension] = ()) -> None:
        super().__init__((*extensions, *VIUR_VALUES, VIUR_RUN))
        as_it_is = self._encode_extension
        moments = self._by_type_name["datetime.datetime"]
        self._encoders[dt.datetime] = lambda value, depth: as_it_is(moments, _moment(value), depth)

    def substitute(self, value: object) -> object:
        """Return what is carried in place of a value that adjourn's own codec refuses.

        Raises:
            RefusedError: ViUR would not take it either.
        """
        for is_such, become in _SUBSTITUTES:
            if is_such(value):
                return become(value)
        if hasattr(value, "__iter__") and not isinstance(value, type):
            return list(value)
        return super().substitute(value)


def _moment(value: dt.datetime) -> dt.datetime:
    is_exact = type_name(type(value.tzinfo)) in _EXACT_ZONES
    return value if is_exact else value.astimezone(dt.UTC)


def _plain_moment(value: dt.datetime) -> dt.datetime:
    return dt.datetime.combine(value.date(), value.timetz())


def _is_skeleton(value: object) -> bool:
    return type(value).__name__ == "SkeletonInstance"  # as ViUR's own encoder has it


def _is(*kinds: type) -> Callable[[object], bool]:
    return lambda value: isinstance(value, kinds)


_SUBSTITUTES: tuple[tuple[Callable[[object], bool], Callable[[Any], object]], ...] = (
    (is_key, key_parts),
    (is_entity, entity_parts),
    (_is_skeleton, lambda value: {name: value[name] for name in value}),
    (_is(str), str.__str__),
    (_is(int), int),
    (_is(float), float),
    (_is(bytes), bytes),
    (_is(Mapping), dict),
    (_is(tuple), tuple),
    (_is(set), set),
    (_is(frozenset), frozenset),
    (_is(dt.datetime), _plain_moment),
)
