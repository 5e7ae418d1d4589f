"""Carry Python values as JSON and get back the same values with the same types.

JSON's own values stand for themselves. A dict with only str keys that hold no "$" is an object.
Everything else is an object with exactly one key, which begins with "$": {"$tuple": [1, 2]}.
So no value of a user can be mistaken for a marker, and decoding builds what is registered here,
by an extension or by the application, and nothing else.
"""

import binascii
import dataclasses
import datetime as dt
import enum
import json
import math
from collections.abc import Callable, Iterable
from functools import partial
from types import NoneType
from typing import Any, TypeAlias, TypeVar

from adjourn.errors import DeclarationError, DecodeError, EncodeError

Json: TypeAlias = "None | bool | int | float | str | list[Json] | dict[str, Json]"
T = TypeVar("T")

MAX_DEPTH = 200  # of the JSON; well within the interpreter's default recursion limit
_NATIVE_BITS = 1024  # below the smallest limit that Python can put on the digits of an int
_PATH_LENGTH = 200


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """How one more type is carried: reduced to a state that the codec knows, and rebuilt from it.

    The type is given by its qualified name, so that naming it does not import it. Whatever
    `encode` and `decode` raise becomes an EncodeError or a DecodeError.
    """

    tag: str
    type_name: str
    state: type | tuple[type, ...]  # what `decode` accepts
    encode: Callable[[Any], object]
    decode: Callable[[Any], object]


class _RefusedError(Exception):
    """A value cannot be encoded; the path grows from the inside while the stack unwinds."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.path: list[str] = []


class Codec:
    """Encode and decode values of the built-in types, of extensions and of registered classes."""

    def __init__(self, extensions: Iterable[Extension] = ()) -> None:
        self._encoders: dict[type, Callable[[Any, int], Json]] = {
            NoneType: _as_it_is,
            bool: _as_it_is,
            int: _encode_int,
            float: _encode_float,
            str: _encode_str,
            list: self._encode_list,
            dict: self._encode_dict,
            set: partial(self._encode_set, "$set"),
            frozenset: partial(self._encode_set, "$frozenset"),
        }
        self._extensions: dict[str, Extension] = {}
        self._decoders = dict(_DECODERS)
        for extension in (*_STANDARD, *extensions):
            if extension.type_name in self._extensions:
                raise DeclarationError(f"two extensions are for the type {extension.type_name}")
            self._add_decoder(extension.tag, extension.state, extension.decode)
            self._extensions[extension.type_name] = extension

    def register(self, cls: type[T], name: str, *former_names: str) -> type[T]:
        """Carry a dataclass or an enum under a stable name; former names stay readable.

        Fields that a message lacks take their defaults, fields that the class lacks are ignored.

        Raises:
            DeclarationError: the class cannot be carried, or class or name are registered already.
        """
        if cls in self._encoders:
            raise DeclarationError(f"{_name(cls)} is registered already; drop one registration")
        extension = _enum(cls, name) if issubclass(cls, enum.Enum) else _dataclass(cls, name)
        for each in (name, *former_names):
            self._add_decoder(f":{each}", extension.state, extension.decode)
        self._encoders[cls] = partial(self._encode_extension, extension)
        return cls

    def encode(self, value: object, path: str = "value") -> Json:
        """Return the JSON form of a value, which shares nothing that can change with it.

        Raises:
            EncodeError: something in it cannot be carried; the message says where, from `path` on.
        """
        try:
            return self._encode(value, 0)
        except _RefusedError as refused:
            where = "".join([path, *reversed(refused.path)])
            if len(where) > _PATH_LENGTH:
                where = where[:_PATH_LENGTH] + "…"
            raise EncodeError(f"{where}: {refused}") from refused.__cause__
        except RecursionError:
            raise EncodeError(f"{path}: {_TOO_DEEP}") from None

    def decode(self, tree: Json) -> Any:
        """Return the value of which `encode` made this JSON.

        Raises:
            DecodeError: it is not of our making, or names what is not registered.
        """
        try:
            return self._decode(tree, 0)
        except RecursionError:
            raise DecodeError(_TOO_DEEP) from None

    def dumps(self, value: object, path: str = "value") -> bytes:
        """Return a value as UTF-8 JSON; what can go wrong is as in `encode`."""
        return to_json(self.encode(value, path))

    def loads(self, body: bytes) -> Any:
        """Return the value of which `dumps` made this body; what can go wrong is as in `decode`."""
        return self.decode(from_json(body))

    def _add_decoder(
        self, tag: str, state: type | tuple[type, ...], decode: Callable[[Any], object]
    ) -> None:
        if f"${tag}" in self._decoders:
            raise DeclarationError(f"the name {tag.lstrip(':')!r} is taken; choose another one")
        self._decoders[f"${tag}"] = (state, decode)

    def _encode(self, value: object, depth: int) -> Json:
        kind = type(value)
        encoder = self._encoders.get(kind)
        if encoder is None:
            extension = self._extensions.get(_name(kind))
            if extension is None:
                raise _RefusedError(self._reason(kind))
            encoder = self._encoders[kind] = partial(self._encode_extension, extension)
        return encoder(value, depth)

    def _encode_list(self, items: Iterable[object], depth: int) -> list[Json]:
        _check_depth(depth)
        tree: list[Json] = []
        try:
            for item in items:
                tree.append(self._encode(item, depth + 1))  # noqa: PERF401 - len(tree) is the path
        except _RefusedError as refused:
            refused.path.append(f"[{len(tree)}]")
            raise
        return tree

    def _encode_dict(self, value: dict[Any, object], depth: int, place: str = "[{!r:.60}]") -> Json:
        if not _are_names(value):
            return self._encode_pairs(value, depth)
        _check_depth(depth)
        tree: dict[str, Json] = {}
        key = ""
        try:
            for key, item in value.items():
                tree[key] = self._encode(item, depth + 1)
        except _RefusedError as refused:
            refused.path.append(place.format(key))
            raise
        return tree

    def _encode_pairs(self, value: dict[Any, object], depth: int) -> Json:
        _check_depth(depth + 2)
        pairs: list[Json] = []
        for key, item in value.items():
            try:
                pairs.append([self._encode(key, depth + 3), self._encode(item, depth + 3)])
            except _RefusedError as refused:
                shown = repr(key)[:60] if type(key) is str else f"<{type(key).__name__}>"
                refused.path.append(f"[{shown}]")
                raise
        return {"$dict": pairs}

    def _encode_set(self, tag: str, value: Iterable[object], depth: int) -> Json:
        try:
            members = self._encode_list(value, depth + 1)
        except _RefusedError as refused:
            refused.path[-1:] = ["{*}"]
            raise
        # Sorted, so that equal sets give equal bytes in every process.
        return {tag: sorted(members, key=to_json)}

    def _encode_extension(self, extension: Extension, value: object, depth: int) -> Json:
        _check_depth(depth)
        try:
            state = extension.encode(value)
        except Exception as error:
            raise _RefusedError(f"{_name(type(value))} cannot be carried: {error}") from error
        if type(state) is dict:
            return {f"${extension.tag}": self._encode_dict(state, depth + 1, ".{}")}
        return {f"${extension.tag}": self._encode(state, depth + 1)}

    def _reason(self, kind: type) -> str:
        if dataclasses.is_dataclass(kind) or issubclass(kind, enum.Enum):
            hint = "register the class under a stable name"
        elif issubclass(kind, dt.tzinfo):
            hint = "use datetime.timezone or zoneinfo.ZoneInfo"
        else:
            known = [base for base in kind.__mro__ if base in self._encoders]
            hint = (
                f"it would not come back as a {kind.__name__}: pass a plain {known[0].__name__}"
                if known
                else "pass what it can be rebuilt from, such as an id or a Key"
            )
        return f"a value of type {_name(kind)} cannot be carried in a task; {hint}"

    def _decode(self, tree: Json, depth: int) -> Any:
        if isinstance(tree, list):
            if depth > MAX_DEPTH:
                raise DecodeError(_TOO_DEEP)
            return [self._decode(item, depth + 1) for item in tree]
        if isinstance(tree, dict):
            if depth > MAX_DEPTH:
                raise DecodeError(_TOO_DEEP)
            if any(key.startswith("$") for key in tree):
                return self._decode_marker(tree, depth)
            return {key: self._decode(item, depth + 1) for key, item in tree.items()}
        return tree

    def _decode_marker(self, tree: dict[str, Json], depth: int) -> object:
        if len(tree) > 1:
            raise DecodeError("an object has a marker among other keys")
        [(tag, body)] = tree.items()
        if tag not in self._decoders:
            raise DecodeError(f"nothing is registered under the marker {tag:.80}")
        kinds, decode = self._decoders[tag]
        state = self._decode(body, depth + 1)
        if not isinstance(state, kinds):
            raise DecodeError(f"{tag}: its content is of a wrong type")
        try:
            return decode(state)
        except Exception as error:
            # Without the error's text: it may quote the user's data, and this one is logged.
            raise DecodeError(f"{tag}: its content is refused ({type(error).__name__})") from error


def to_json(tree: Json) -> bytes:
    """Return what `Codec.encode` returned as compact UTF-8."""
    return _TO_JSON(tree).encode()


def from_json(body: bytes) -> Json:
    """Return the content of strict JSON.

    Raises:
        DecodeError: it is not UTF-8 or not JSON, has NaN, or a key twice in one object.
    """
    try:
        tree: Json = _FROM_JSON(str(body, "utf-8"))
    except RecursionError:
        raise DecodeError(_TOO_DEEP) from None
    except ValueError as error:
        raise DecodeError(f"the body is not valid JSON: {error}") from error
    return tree


_TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels, or within itself"


def _refuse_constant(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    tree = dict(pairs)
    if len(tree) < len(pairs):
        raise ValueError("an object has a key twice")
    return tree


_TO_JSON = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":")
).encode
_FROM_JSON = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant).decode


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise _RefusedError(_TOO_DEEP)


def _are_names(keys: Iterable[object]) -> bool:
    if not {str}.issuperset(map(type, keys)):
        return False
    text = "".join(keys)  # type: ignore[arg-type]  # just checked
    return "$" not in text and _is_unicode(text)


def _is_unicode(text: str) -> bool:
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def _as_it_is(value: Any, _depth: int) -> Json:
    return value  # type: ignore[no-any-return]  # None or bool


def _encode_int(value: int, _depth: int) -> Json:
    return value if value.bit_length() <= _NATIVE_BITS else {"$int": hex(value)}


def _encode_float(value: float, _depth: int) -> Json:
    return value if math.isfinite(value) else {"$float": str(value)}


def _encode_str(value: str, _depth: int) -> Json:
    # JSON would merge a pair of lone surrogates into one character.
    return (
        value if _is_unicode(value) else {"$str": _base64(value.encode("utf-8", "surrogatepass"))}
    )


def _base64(value: bytes) -> str:
    return binascii.b2a_base64(value, newline=False).decode()


def _unbase64(text: str) -> bytes:
    return binascii.a2b_base64(text, strict_mode=True)


def _decode_float(state: str) -> float:
    if state not in {"nan", "inf", "-inf"}:
        raise ValueError("a finite float needs no marker")
    return float(state)


def _decode_set(kind: type[T], members: list[Any]) -> T:
    value: Any = kind(members)  # type: ignore[call-arg]  # set or frozenset
    if len(value) < len(members):
        raise ValueError("a member comes twice")
    return value  # type: ignore[no-any-return]


def _decode_dict(pairs: list[Any]) -> dict[Any, object]:
    if not {list}.issuperset(map(type, pairs)):
        raise ValueError("an item is not a pair")
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key comes twice")
    return value


def _encode_clock(value: dt.datetime | dt.time) -> object:
    zone = value.tzinfo
    if not value.fold and (zone is None or _is_plain_offset(zone)):
        return value.isoformat()
    return {
        "at": value.replace(tzinfo=None, fold=0).isoformat(),
        "tzinfo": zone,
        "fold": value.fold,
    }


def _is_plain_offset(zone: dt.tzinfo) -> bool:
    return type(zone) is dt.timezone and _zone_name(zone) is None


def _decode_clock(kind: type[dt.datetime | dt.time], state: Any) -> dt.datetime | dt.time:
    if isinstance(state, str):
        return kind.fromisoformat(state)
    return kind.fromisoformat(state["at"]).replace(tzinfo=state["tzinfo"], fold=state["fold"])


def _zone_name(zone: dt.timezone) -> str | None:
    name = zone.tzname(None)
    return None if name == dt.timezone(zone.utcoffset(None)).tzname(None) else name


def _decode_timezone(state: dict[str, Any]) -> dt.timezone:
    if state["name"] is None:
        return dt.timezone(state["offset"])
    return dt.timezone(state["offset"], state["name"])


def _zone_key(zone: Any) -> str:
    if zone.key is None:
        raise ValueError("the time zone has no key; make it with ZoneInfo(key)")
    return str(zone.key)


def _decode_zone(key: str) -> object:
    from zoneinfo import ZoneInfo

    return ZoneInfo(key)


def _decode_decimal(state: str) -> object:
    from decimal import Decimal

    return Decimal(state)


def _decode_uuid(state: str) -> object:
    from uuid import UUID

    return UUID(state)


def _enum(cls: type, name: str) -> Extension:
    if issubclass(cls, enum.Flag):
        return Extension(
            tag=f":{name}", type_name=_name(cls), state=int, encode=lambda it: it.value, decode=cls
        )
    members: Any = cls
    return Extension(
        tag=f":{name}",
        type_name=_name(cls),
        state=str,
        encode=lambda it: it.name,
        decode=lambda key: members[key],
    )


def _dataclass(cls: Any, name: str) -> Extension:
    import inspect

    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        raise DeclarationError(f"{cls!r} is neither a dataclass nor an enum; write an Extension")
    fields = {field.name: field.init for field in dataclasses.fields(cls)}
    try:
        inspect.signature(cls).bind(**{key: None for key, init in fields.items() if init})
    except TypeError as error:
        raise DeclarationError(
            f"{_name(cls)} cannot be rebuilt from its fields ({error}); write an Extension"
        ) from error

    def encode(value: object) -> dict[str, object]:
        return {key: getattr(value, key) for key in fields if hasattr(value, key)}

    def decode(state: dict[str, object]) -> object:
        value = cls(**{key: item for key, item in state.items() if fields.get(key)})
        # __post_init__ may have changed what it was given, and was run on it before.
        for key in fields.keys() & state.keys():
            object.__setattr__(value, key, state[key])
        return value

    return Extension(tag=f":{name}", type_name=_name(cls), state=dict, encode=encode, decode=decode)


_DECODERS: dict[str, tuple[type | tuple[type, ...], Callable[[Any], object]]] = {
    "$int": (str, lambda state: int(state, 16)),
    "$float": (str, _decode_float),
    "$str": (str, lambda state: _unbase64(state).decode("utf-8", "surrogatepass")),
    "$dict": (list, _decode_dict),
    "$set": (list, partial(_decode_set, set)),
    "$frozenset": (list, partial(_decode_set, frozenset)),
}


def _standard(tag: str, type_name: str, state: Any, encode: Any, decode: Any) -> Extension:
    return Extension(tag=tag, type_name=type_name, state=state, encode=encode, decode=decode)


_STANDARD = (
    _standard("tuple", "builtins.tuple", list, list, tuple),
    _standard("bytes", "builtins.bytes", str, _base64, _unbase64),
    _standard("date", "datetime.date", str, dt.date.isoformat, dt.date.fromisoformat),
    _standard("time", "datetime.time", (str, dict), _encode_clock, partial(_decode_clock, dt.time)),
    _standard(
        "datetime",
        "datetime.datetime",
        (str, dict),
        _encode_clock,
        partial(_decode_clock, dt.datetime),
    ),
    _standard(
        "timedelta",
        "datetime.timedelta",
        list,
        lambda it: [it.days, it.seconds, it.microseconds],
        lambda state: dt.timedelta(*state),
    ),
    _standard(
        "timezone",
        "datetime.timezone",
        dict,
        lambda it: {"offset": it.utcoffset(None), "name": _zone_name(it)},
        _decode_timezone,
    ),
    _standard("zone", "zoneinfo.ZoneInfo", str, _zone_key, _decode_zone),
    _standard("decimal", "decimal.Decimal", str, str, _decode_decimal),
    _standard("uuid", "uuid.UUID", str, lambda it: it.hex, _decode_uuid),
)
