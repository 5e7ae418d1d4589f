"""Parameters that people fill in: what a form has to know of them, and what is wrong with them.

They are read from the annotations of whatever takes them: a function, or a class such as a
dataclass. Each type has one JSON Schema (draft 2020-12) and one way to read a value.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from adjourn.errors import DeclarationError

_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SIGNATURE = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class InvalidError(Exception):
    """Values do not fit.

    Attributes:
        found: What is wrong by the path at which it stands, "" for the whole.
    """

    def __init__(self, found: Mapping[str, str]) -> None:
        super().__init__(f"{len(found)} values do not fit")
        self.found = found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kind:
    """The values that a parameter takes.

    Attributes:
        schema: Their JSON Schema.
        read: Returns the value that JSON stands for, or raises `InvalidError`.
    """

    schema: Mapping[str, object]
    read: Callable[[object], object]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Form:
    """The parameters of a callable task, by name.

    Attributes:
        kinds: The values that each one takes.
        required: Those that have no default.
        defaults: The defaults that JSON can tell.
        build: Makes keyword arguments of the values that were given.
    """

    kinds: Mapping[str, Kind]
    required: frozenset[str]
    defaults: Mapping[str, object]
    build: Callable[[Mapping[str, object]], Mapping[str, object]] = dict

    def schema(self) -> Mapping[str, object]:
        """Return the JSON Schema of the object that `read` takes."""
        told = {name: {"default": default} for name, default in self.defaults.items()}
        return {
            "type": "object",
            "properties": {n: {**kind.schema, **told.get(n, {})} for n, kind in self.kinds.items()},
            "required": [name for name in self.kinds if name in self.required],
            "additionalProperties": False,
        }

    def read(self, given: object) -> Mapping[str, object]:
        """Return the keyword arguments that a JSON object stands for.

        Raises:
            InvalidError: It does not fit; all that is wrong is told at once.
        """
        if not isinstance(given, dict):
            raise InvalidError({"": "must be an object"})
        wrong = dict.fromkeys(given.keys() - self.kinds.keys(), "is not a parameter")
        wrong |= dict.fromkeys(self.required - given.keys(), "is missing")
        known = [(name, kind, given[name]) for name, kind in self.kinds.items() if name in given]
        values = dict(zip((name for name, *_ in known), _read_all(known, wrong), strict=True))
        try:
            return self.build(values)
        except ValueError as error:
            raise InvalidError({"": str(error)}) from error


def form_of(taker: Callable[..., Any], *, is_method: bool = False) -> Form:
    """Return the parameters of a function, or of what makes values of a class.

    Raises:
        DeclarationError: One has no annotation, or one that no form can show.
    """
    name = getattr(taker, "__qualname__", repr(taker))
    try:
        parameters = list(inspect.signature(taker).parameters.values())[is_method:]
        hints = get_type_hints(_annotated(taker), include_extras=True)
    except (NameError, TypeError, ValueError) as error:
        raise DeclarationError(f"The parameters of {name} cannot be told: {error}.") from error
    for each in parameters:
        if each.kind not in _SIGNATURE or each.name not in hints:
            raise DeclarationError(
                f"{name} takes {each}; give it an annotation, and a name under which it is passed."
            )
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    told = {n: value for n, default in defaults.items() for value in _told(default)}
    return Form(
        kinds={p.name: _kind(hints[p.name], f"{p.name} of {name}") for p in parameters},
        required=frozenset(p.name for p in parameters if p.name not in defaults),
        defaults=told,
    )


def form_of_class(cls: type) -> Form:
    """Return the parameters from which values of a class are made, whose attributes they become.

    Raises:
        DeclarationError: As for `form_of`.
    """
    form = form_of(cls)

    def build(values: Mapping[str, object]) -> Mapping[str, object]:
        made = cls(**values)
        return {name: getattr(made, name) for name in form.kinds}

    return dataclasses.replace(form, build=build)


def _annotated(taker: Any) -> Any:
    has_own = not isinstance(taker, type) or getattr(taker, "__annotations__", None)
    return taker if has_own else taker.__init__


def _read_all(
    parts: Iterable[tuple[str, Kind, object]], wrong: Mapping[str, str] | None = None
) -> list[object]:
    """Return the values of all parts, or tell what is wrong with any of them."""
    found, values = dict(wrong or {}), []
    for path, kind, given in parts:
        try:
            values.append(kind.read(given))
        except InvalidError as error:
            found |= {f"{path}{below}": message for below, message in error.found.items()}
    if found:
        raise InvalidError(found)
    return values


def _kind(hint: Any, of: str) -> Kind:
    if isinstance(hint, type) and hint in _SCALARS:
        return _SCALARS[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        kind = _kind(arguments[0], of)
        texts = [each for each in arguments[1:] if isinstance(each, str)]
        return dataclasses.replace(kind, schema={**kind.schema, "description": " ".join(texts)})
    if origin is list:
        return _list(_kind(arguments[0], of))
    if origin in {Union, UnionType} and len(arguments) == 2 and NoneType in arguments:  # noqa: PLR2004
        (other,) = (each for each in arguments if each is not NoneType)
        return _optional(_kind(other, of))
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _enum(hint)
    raise DeclarationError(
        f"{of} is a {hint!r}, which no form can show; use str, int, float, bool, date, datetime,"
        " an Enum of str or int, a list[...] of these or ... | None."
    )


def _list(item: Kind) -> Kind:
    def read(given: object) -> object:
        if not isinstance(given, list):
            raise InvalidError({"": "must be a list"})
        return _read_all((f"[{place}]", item, each) for place, each in enumerate(given))

    return Kind(schema={"type": "array", "items": item.schema}, read=read)


def _optional(kind: Kind) -> Kind:
    def read(given: object) -> object:
        return None if given is None else kind.read(given)

    return Kind(schema={"anyOf": [kind.schema, {"type": "null"}]}, read=read)


def _enum(cls: type[enum.Enum]) -> Kind:
    values = [member.value for member in cls]
    if not values or not {str, int}.issuperset(map(type, values)):
        raise DeclarationError(f"The values of {cls.__qualname__} are not all str or int.")

    def read(given: object) -> object:
        for value in values:
            if type(given) is type(value) and given == value:
                return cls(value)
        raise InvalidError({"": f"must be one of {', '.join(map(str, values))}"})

    return Kind(schema={"enum": values}, read=read)


def _scalar(schema: Mapping[str, object], wanted: str, read: Callable[[Any], object]) -> Kind:
    def checked(given: object) -> object:
        try:
            return read(given)
        except (TypeError, ValueError, OverflowError):
            raise InvalidError({"": f"must be {wanted}"}) from None

    return Kind(schema=schema, read=checked)


def _exactly(kind: type) -> Callable[[object], object]:
    def read(given: object) -> object:
        if type(given) is not kind:
            raise TypeError
        return given

    return read


def _int(given: object) -> int:
    # 2.0 is an integer in JSON Schema, and JSON makes no difference between it and 2.
    if type(given) is float and given.is_integer():
        return int(given)
    if type(given) is not int:
        raise TypeError
    return given


def _float(given: object) -> float:
    if type(given) not in {int, float}:
        raise TypeError
    value = float(given)  # type: ignore[arg-type]  # checked above
    if not math.isfinite(value):
        raise ValueError
    return value


def _date(given: str) -> dt.date:
    if not _DATE.fullmatch(given):
        raise ValueError
    return dt.date.fromisoformat(given)


def _datetime(given: str) -> dt.datetime:
    value = dt.datetime.fromisoformat(given)
    if value.utcoffset() is None:
        raise ValueError
    return value


_SCALARS: Mapping[object, Kind] = {
    str: _scalar({"type": "string"}, "text", _exactly(str)),
    bool: _scalar({"type": "boolean"}, "true or false", _exactly(bool)),
    int: _scalar({"type": "integer"}, "a whole number", _int),
    float: _scalar({"type": "number"}, "a number", _float),
    dt.date: _scalar({"type": "string", "format": "date"}, "a date such as 2026-12-31", _date),
    dt.datetime: _scalar(
        {"type": "string", "format": "date-time"},
        "a time with its offset, such as 2026-12-31T08:00:00+01:00",
        _datetime,
    ),
}


def _told(default: object) -> Iterable[object]:
    """Yield a default as JSON has it; nothing if it cannot be told."""
    is_float = type(default) is float and math.isfinite(default)
    if default is None or is_float or type(default) in {str, int, bool}:
        yield default
    elif isinstance(default, dt.date):
        yield default.isoformat()
    elif isinstance(default, enum.Enum):
        yield default.value
    elif isinstance(default, list | tuple):
        items = [value for each in default for value in _told(each)]
        if len(items) == len(default):
            yield items
