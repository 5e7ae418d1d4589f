"""Encode Python values as JSON, and decode it to equal values of the same types.

JSON's own types encode as themselves; so does a dict if none of its keys contains a "$". Any other
value becomes an object with a single key, a marker that begins with "$": `{"$tuple": [1, 2]}`. No
user's value can be mistaken for a marker. Decoding builds only standard and registered types.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from functools import partial
from types import NoneType
from typing import Any, TypeAlias

from adjourn.errors import DecodeError, EncodeError, UnknownTypeError
from adjourn.serialization.budget import MOST_DIGITS, NATIVE_BITS, limited_int, no_number
from adjourn.serialization.refusal import MAX_DEPTH, TOO_DEEP, RefusedError, check_keys, hint, shown
from adjourn.serialization.types import Extension, KnownTypes, type_name

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

# From where on it pays to write or read all at once.
_LARGE, _MANY = 1 << 10, 30


class Codec(KnownTypes):
    """Encode and decode values of the standard types, of extensions and of registered classes."""

    def __init__(self, extensions: Iterable[Extension] = ()) -> None:
        super().__init__(extensions)
        self._encoders: dict[type, Callable[[Any, int], Json]] = {
            list: self._encode_list,
            dict: self._encode_dict,
            set: partial(self._encode_set, "$set"),
            frozenset: partial(self._encode_set, "$frozenset"),
        }

    def encode(self, value: object, path: str = "value") -> Json:
        """Return the JSON form of a value.

        Raises:
            EncodeError: A part of it cannot be encoded; the message says where, from `path` on.
        """
        try:
            return self._encode(value, 0)
        except RefusedError as refused:
            where = "".join([path, *reversed(refused.path)])
            raise EncodeError(f"{where:.200}: {refused}.") from refused.__cause__
        except RecursionError:
            raise EncodeError(f"{path}: {TOO_DEEP}.") from None

    def decode(self, tree: Json) -> Any:
        """Return the value that has this JSON form.

        Raises:
            DecodeError: It is malformed.
            UnknownTypeError: Its type, or its member of an enum, is not registered.
        """
        if type(tree) in _NATIVE:
            return tree
        try:
            return self._decode(tree, 0)
        except RecursionError:
            raise DecodeError(f"The value is {TOO_DEEP}.") from None

    def dumps(self, value: object, path: str = "value") -> bytes:
        """Return the JSON form of a value as bytes; raises what `encode` raises."""
        if _is_large(value):
            from adjourn.serialization.at_once import is_plain, plain_json  # noqa: PLC0415

            if is_plain(value) and (body := plain_json(value, to_json)):
                return body
        return to_json(self.encode(value, path))

    def dumps_fields(self, fields: Mapping[str, object]) -> bytes:
        """Return an object of the JSON forms of values; raises what `encode` raises."""
        if _is_large(fields, 3):
            from adjourn.serialization.at_once import is_plain, plain_json  # noqa: PLC0415

            parts = {k: v if is_plain(v) else self.encode(v, k) for k, v in fields.items()}
            if body := plain_json(parts, to_json):
                return body
        return to_json({k: self.encode(v, k) for k, v in fields.items()})

    def loads(self, body: bytes) -> Any:
        """Return the value of a body that `dumps` made; raises what `decode` raises."""
        tree, decode = self.read(body)
        return decode(tree)

    def read(self, body: bytes) -> tuple[Any, Callable[[Any], Any]]:
        """Return the JSON of a body with what decodes it, or a part of it.

        If it is large and needs no closer look, it is decoded already.

        Raises:
            DecodeError: It is malformed.
        """
        if len(body) > _LARGE:
            from adjourn.serialization import at_once  # noqa: PLC0415

            with suppress(at_once.DoubtfulError):
                return at_once.read(body, self._decode_content, _int_reader()), lambda part: part
        return from_json(body), self.decode

    def substitute(self, value: object) -> object:
        """Return what is carried in place of a value of an unknown type; here, nothing is.

        Raises:
            RefusedError: Nothing can be.
        """
        kind = type(value)
        raise RefusedError(f"{type_name(kind)} cannot be encoded; {hint(kind, self._knows)}")

    def _encode(self, value: object, depth: int) -> Json:
        kind = type(value)
        is_native = _NATIVE.get(kind)
        if is_native and is_native(value):
            return value  # type: ignore[return-value]  # _NATIVE holds types of JSON only
        encoder = self._encoders.get(kind)
        if not encoder:
            extension = self._find(kind)
            if not extension:
                return self._encode(self.substitute(value), depth)
            encoder = self._encoders[kind] = partial(self._encode_extension, extension)
        return encoder(value, depth)

    def _encode_list(self, items: Iterable[object], depth: int, place: str = "[{}]") -> list[Json]:
        _check_depth(depth)
        tree: list[Json] = []
        try:
            for item in items:
                tree.append(self._encode(item, depth + 1))  # noqa: PERF401 - on an error, its length is the index
        except RefusedError as refused:
            refused.path.append(place.format(len(tree)))
            raise
        return tree

    def _encode_dict(
        self, value: dict[Any, object], depth: int, *, are_fields: bool = False
    ) -> Json:
        is_object = _has_names(value)
        _check_depth(depth if is_object else depth + 2)
        if not is_object:
            check_keys(value)
        tree: dict[str, Json] = {}
        pairs: list[Json] = []
        for key, item in value.items():
            try:
                if is_object:
                    tree[key] = self._encode(item, depth + 1)
                else:
                    pairs.append([self._encode(key, depth + 3), self._encode(item, depth + 3)])
            except RefusedError as refused:
                refused.path.append(f".{key}" if are_fields else f"[{shown(key)}]")
                raise
        return tree if is_object else {"$dict": pairs}

    def _encode_set(self, marker: str, value: Collection[object], depth: int) -> Json:
        _check_depth(depth)
        check_keys(value)
        # Sorted, so that equal sets are equal bytes in every process.
        return {marker: sorted(self._encode_list(value, depth + 1, "{{*}}"), key=to_json)}

    def _encode_extension(self, extension: Extension, value: object, depth: int) -> Json:
        _check_depth(depth)
        try:
            state = extension.encode(value)
        except Exception as error:
            raise RefusedError(f"{type_name(type(value))} cannot be encoded: {error}") from error
        if not isinstance(state, extension.state):
            raise RefusedError(
                f"{type_name(type(value))} cannot be encoded: its state is a {type(state).__name__}"
            )
        if type(state) is dict:
            return {f"${extension.tag}": self._encode_dict(state, depth + 1, are_fields=True)}
        return {f"${extension.tag}": self._encode(state, depth + 1)}

    def _knows(self, kind: type) -> bool:
        return kind in self._encoders or kind in _NATIVE or self._find(kind) is not None

    def _decode(self, tree: Json, depth: int) -> Any:
        if type(tree) in _NATIVE:
            return tree
        if depth > MAX_DEPTH:
            raise DecodeError(f"The value is {TOO_DEEP}.")
        if isinstance(tree, list):
            return [
                item if type(item) in _NATIVE else self._decode(item, depth + 1) for item in tree
            ]
        if not isinstance(tree, dict):
            raise DecodeError(f"A {type(tree).__name__} is not JSON.")
        if "$" in "".join(tree) and any(key.startswith("$") for key in tree):
            return self._decode_marker(tree, depth)
        return {
            key: item if type(item) in _NATIVE else self._decode(item, depth + 1)
            for key, item in tree.items()
        }

    def _decode_marker(self, tree: dict[str, Json], depth: int) -> object:
        marker, content = next(iter(tree.items()))
        if len(tree) > 1 or marker not in self._by_marker:
            error = DecodeError if len(tree) > 1 else UnknownTypeError
            raise error(f"Nothing is registered for the marker {marker[:80]!r}.")
        return self._decode_content(marker, self._decode(content, depth + 1))

    def _decode_content(self, marker: str, state: Any) -> object:
        extension = self._by_marker[marker]
        if not isinstance(state, extension.state):
            raise DecodeError(f"The content of {marker} is a {type(state).__name__}.")
        try:
            return extension.decode(state)
        except Exception as error:
            # The text of the error may quote a user's value, and this one is logged.
            reason = error if isinstance(error, DecodeError) else f"{type(error).__name__}."
            kind = UnknownTypeError if extension.may_grow else DecodeError
            raise kind(f"The content of {marker}: {reason}") from error


def _is_large(value: object, levels: int = 2) -> bool:
    """Whether a list or dict has many items, or one in it."""
    kind = type(value)
    if kind is not list and kind is not dict:
        return False
    items: Any = value if kind is list else value.values()  # type: ignore[attr-defined]
    return len(items) > _MANY or (levels > 0 and any(_is_large(i, levels - 1) for i in items))


def to_json(tree: Json) -> bytes:
    """Return a result of `Codec.encode` as compact JSON in UTF-8."""
    return _ENCODER.encode(tree).encode()


def from_json(body: bytes) -> Json:
    """Return the parsed JSON of a body.

    Raises:
        DecodeError: It is not UTF-8 or not JSON, or an object has a key twice.
    """
    try:
        decoder = _DECODER if _int_reader() is int else _CAREFUL
        text = str(body, "utf-8")
        if text.startswith("{"):  # as in ours, without white space around it
            tree, end = decoder.raw_decode(text)
            if end == len(text):
                return tree  # type: ignore[no-any-return]
        return decoder.decode(text)  # type: ignore[no-any-return]
    except ValueError as error:
        raise DecodeError(f"The body is not JSON: {error}.") from error
    except RecursionError:
        raise DecodeError(f"The body is {TOO_DEEP}.") from None


def _int_reader() -> Callable[[str], int]:
    return int if 0 < sys.get_int_max_str_digits() <= MOST_DIGITS else limited_int


def _object(members: list[tuple[str, Json]]) -> dict[str, Json]:
    tree = dict(members)
    if len(tree) < len(members):
        raise ValueError("a key comes twice")
    return tree


_ENCODER = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":")
)
_HOOKS: dict[str, Any] = {"object_pairs_hook": _object, "parse_constant": no_number}
_DECODER = json.JSONDecoder(**_HOOKS)
_CAREFUL = json.JSONDecoder(**_HOOKS, parse_int=limited_int)


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise RefusedError(TOO_DEEP)


def is_unicode(text: str) -> bool:
    """Whether a text has no lone surrogates."""
    # UTF-8 has no lone surrogates, and the escapes of JSON would merge two of them into one.
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def _has_names(value: dict[Any, object]) -> bool:
    return {str}.issuperset(map(type, value)) and (
        "$" not in (names := "".join(value)) and is_unicode(names)
    )


_NATIVE: dict[type, Callable[[Any], bool]] = {
    NoneType: lambda _: True,
    bool: lambda _: True,
    int: lambda value: value.bit_length() <= NATIVE_BITS,
    float: math.isfinite,
    str: is_unicode,
}
