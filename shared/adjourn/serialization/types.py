"""How the codec encodes types that JSON lacks: standard types, and registered classes."""

import binascii
import datetime as dt
import enum
import importlib
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple, TypeVar

from adjourn.errors import DeclarationError
from adjourn.serialization.budget import check_hashes

T = TypeVar("T")
# To compare a longer one with a Decimal takes seconds, and more than in proportion.
_MOST_BITS = 20_000


class Extension(NamedTuple):
    """How the codec encodes one more type: as a state, a value of a type that it already knows.

    Give it to `App.add_extension`.

    Attributes:
        tag: The stable name of the type in the tasks, such as `shop.Money`; the marker in the JSON
            without its "$".
        type_name: The class, or its qualified name, so that it need not be imported. Subclasses are
            other types.
        state: The type or types that a state may have.
        encode: Returns the state of a value; an exception becomes an `EncodeError`.
        decode: Returns the value of a state; an exception becomes a `DecodeError`.
        may_grow: Whether another revision of the application may know further values, as of an
            enum; the exception then becomes an `UnknownTypeError`.
    """

    tag: str
    type_name: str
    state: type | tuple[type, ...]
    encode: Callable[[Any], object]
    decode: Callable[[Any], object]
    may_grow: bool = False


def checked(extension: Extension) -> Extension:
    """Return an extension of a user as the codec takes it: type by its name, tag as of a user.

    Raises:
        DeclarationError: It is wrong; the message says which part of it.
    """
    if not isinstance(extension, Extension):
        raise DeclarationError(f"{extension!r:.80} is no Extension; write adjourn.Extension(...).")
    kind: Any = extension.type_name
    extension = extension._replace(type_name=type_name(kind) if isinstance(kind, type) else kind)
    states = extension.state if isinstance(extension.state, tuple) else (extension.state,)
    tag: Any = extension.tag
    are_right = {
        "tag": isinstance(tag, str) and tag and "$" not in tag,
        "type_name": isinstance(kind, type) or (isinstance(kind, str) and "." in kind),
        "state": all(isinstance(each, type) for each in states),
        "encode": callable(extension.encode),
        "decode": callable(extension.decode),
    }
    for name, is_right in are_right.items():
        if not is_right:
            value = getattr(extension, name)
            raise DeclarationError(
                f"Extension({name}={value!r:.80}): write adjourn.Extension(tag="
                "'shop.Money', type_name=Money, state=str, encode=str, decode=Money)."
            )
    return extension._replace(tag=f":{extension.tag}")


def type_name(kind: type) -> str:
    """Return the qualified name of a type."""
    return f"{kind.__module__}.{kind.__qualname__}"


def distinct(kind: Callable[[list[Any]], Any], members: list[Any]) -> Any:
    """Return a collection of these members.

    Raises:
        ValueError: A member comes twice, or many have the same hash.
    """
    check_hashes(members)
    value = kind(members)
    if len(value) < len(members):
        raise ValueError("a member comes twice")
    return value


def exact(
    tag: str,
    type_name: str,
    state: type | tuple[type, ...],
    encode: Callable[[Any], Any],
    decode: Callable[[Any], Any],
) -> Extension:
    """Return an extension that decodes only states that it encodes again as they are.

    What Python's own readers accept, and silently lose, depends on its patch version: a Flag of
    3.11.2 drops the bits that it does not know.
    """

    def decoded(given: Any) -> object:
        value = decode(given)
        if encode(value) != given:
            raise ValueError("it would be encoded as something else")
        return value

    return Extension(tag, type_name, state, encode, decoded)


def _base64(value: bytes) -> str:
    return binascii.b2a_base64(value, newline=False).decode()


def _unbase64(text: str) -> bytes:
    return binascii.a2b_base64(text, strict_mode=True)


def _hex(value: int) -> str:
    if value.bit_length() > _MOST_BITS:
        raise ValueError(f"an int may have {_MOST_BITS:,} bits")
    return hex(value)


def _unhex(text: str) -> int:
    if len(text) > len("-0x") + _MOST_BITS // 4:
        raise ValueError(f"an int may have {_MOST_BITS:,} bits")
    return int(text, base=16)


def _pairs(items: list[Any]) -> object:
    if not {list}.issuperset(map(type, items)):
        raise TypeError("an item is not a pair")
    check_hashes([item[0] for item in items if item])
    value = dict(items)
    if len(value) < len(items):
        raise ValueError("a key comes twice")
    return value


def _encode_clock(value: dt.datetime | dt.time) -> object:
    zone = value.tzinfo
    if not value.fold and (zone is None or zone is dt.UTC):
        return value.isoformat()
    plain = value.replace(tzinfo=None, fold=0)
    return {"at": plain.isoformat(), "tzinfo": zone, "fold": value.fold}


def _decode_clock(kind: type[dt.datetime | dt.time], state: Any) -> object:
    if isinstance(state, str):
        return kind.fromisoformat(state)
    return kind.fromisoformat(state["at"]).replace(tzinfo=state["tzinfo"], fold=state["fold"])


def _arguments(value: Any) -> list[object]:
    return list(value.__reduce__()[1])


def _from_str(tag: str, type_name: str, encode: Callable[[Any], object] = str) -> Extension:
    module, _, name = type_name.rpartition(".")

    def decode(state: str) -> object:
        return getattr(importlib.import_module(module), name)(state)

    return exact(tag, type_name, str, encode, decode)


def registered(cls: Any, tag: str) -> Extension:
    """Return how a dataclass, an enum, a class of attrs or a model of pydantic is encoded.

    Raises:
        DeclarationError: It is none of these, or its fields do not hold all of its state.
    """
    if isinstance(cls, type) and issubclass(cls, enum.Flag):
        return exact(tag, type_name(cls), int, lambda it: it.value, cls)._replace(may_grow=True)
    if isinstance(cls, enum.EnumMeta):
        return Extension(
            tag, type_name(cls), str, lambda it: it.name, lambda name: cls[name], may_grow=True
        )
    from adjourn.serialization.models import coders  # noqa: PLC0415 - for those who register one

    if found := coders(cls):
        return Extension(tag, type_name(cls), dict, *found)
    raise DeclarationError(
        f"{cls!r:.80} is no dataclass, enum, class of attrs or model of pydantic; say how it is"
        " encoded with app.add_extension(adjourn.Extension(...))."
    )


STANDARD_VALUES = (
    exact("int", "builtins.int", str, _hex, _unhex),
    exact("float", "builtins.float", str, str, float),
    exact(
        "str",
        "builtins.str",
        str,
        lambda value: _base64(value.encode("utf-8", "surrogatepass")),
        lambda state: _unbase64(state).decode("utf-8", "surrogatepass"),
    ),
    exact("bytes", "builtins.bytes", str, _base64, _unbase64),
    Extension("tuple", "builtins.tuple", list, list, tuple),
    Extension("set", "builtins.set", list, list, partial(distinct, set)),
    Extension("frozenset", "builtins.frozenset", list, list, partial(distinct, frozenset)),
    Extension("dict", "builtins.dict", list, dict.items, _pairs),
    exact("date", "datetime.date", str, dt.date.isoformat, dt.date.fromisoformat),
    exact("time", "datetime.time", object, _encode_clock, partial(_decode_clock, dt.time)),
    exact(
        "datetime", "datetime.datetime", object, _encode_clock, partial(_decode_clock, dt.datetime)
    ),
    exact("timedelta", "datetime.timedelta", list, _arguments, lambda it: dt.timedelta(*it)),
    exact("timezone", "datetime.timezone", list, _arguments, lambda it: dt.timezone(*it)),
    _from_str("zone", "zoneinfo.ZoneInfo", lambda zone: zone.key),
    _from_str("decimal", "decimal.Decimal"),
    _from_str("uuid", "uuid.UUID"),
)

# What a library for tests puts in the place of a type while it stops the clock.
STAND_INS = {
    "freezegun.api.FakeDate": "datetime.date",
    "freezegun.api.FakeDatetime": "datetime.datetime",
}


class KnownTypes:
    """The types that a codec can encode beyond those of JSON."""

    def __init__(self, extensions: Iterable[Extension] = ()) -> None:
        self._registered: dict[type, Extension] = {}
        self._by_type_name: dict[str, Extension] = {}
        self._by_marker: dict[str, Extension] = {}
        for extension in (*STANDARD_VALUES, *extensions):
            self._add(extension.tag, extension)
            self._by_type_name[extension.type_name] = extension
        for name, stands_for in STAND_INS.items():
            self._by_type_name[name] = self._by_type_name[stands_for]

    def register(self, cls: type[T], name: str, *former_names: str) -> type[T]:
        """Register a class under a stable name; former names stay readable.

        When decoding, missing fields take their defaults and unknown fields are ignored.

        Raises:
            DeclarationError: The class cannot be encoded, or the class or a name is taken.
        """
        extension = registered(cls, f":{name}")
        if cls in self._registered:
            raise DeclarationError(f"{type_name(cls)} is registered already; register it once.")
        for tag in (name, *former_names):
            self._add(f":{tag}", extension)
        self._registered[cls] = extension
        return cls

    def extend(self, extension: Extension) -> None:
        """Let values of one more type be encoded.

        Raises:
            DeclarationError: The type or the tag is taken, or the extension is wrong.
        """
        extension = checked(extension)
        self._add(extension.tag, extension)
        self._by_type_name[extension.type_name] = extension

    def _find(self, kind: type) -> Extension | None:
        return self._registered.get(kind) or self._by_type_name.get(type_name(kind))

    def _add(self, tag: str, extension: Extension) -> None:
        if f"${tag}" in self._by_marker or extension.type_name in self._by_type_name:
            raise DeclarationError(
                f"{extension.type_name} or its name {tag.lstrip(':')!r} is taken; choose another."
            )
        self._by_marker[f"${tag}"] = extension
