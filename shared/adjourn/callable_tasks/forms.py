"""The parameters of callable tasks: their JSON Schema for a form, and their validation.

They are taken from the annotations of a function, or of a class such as a dataclass. Each type has
one JSON Schema (draft 2020-12) and one way to parse a value.
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
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class InvalidParametersError(Exception):
    """Parameters are not valid.

    Attributes:
        errors: The error at each path, "" for the whole.
    """

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__(f"{len(errors)} parameters are not valid")
        self.errors = errors


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ParameterType:
    """A type of parameters.

    Attributes:
        schema: Its JSON Schema.
        read: Returns the value of a JSON value, or raises `InvalidParametersError`.
    """

    schema: Mapping[str, object]
    read: Callable[[object], object]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Form:
    """The parameters of a callable task, by name.

    Attributes:
        types: The type of each parameter.
        required: The parameters without a default.
        defaults: The defaults that can be written as JSON.
        build: Makes keyword arguments of the values that were given.
    """

    types: Mapping[str, ParameterType]
    required: frozenset[str]
    defaults: Mapping[str, object]
    build: Callable[[Mapping[str, object]], Mapping[str, object]] = dict

    def schema(self) -> Mapping[str, object]:
        """Return the JSON Schema of the object that `read` takes."""
        defaults = {name: {"default": value} for name, value in self.defaults.items()}
        return {
            "type": "object",
            "properties": {n: {**t.schema, **defaults.get(n, {})} for n, t in self.types.items()},
            "required": [name for name in self.types if name in self.required],
            "additionalProperties": False,
        }

    def read(self, given: object) -> Mapping[str, object]:
        """Return the keyword arguments for a JSON object of parameters.

        Raises:
            InvalidParametersError: It is not valid; the exception has all errors.
        """
        if not isinstance(given, dict):
            raise InvalidParametersError({"": "must be an object"})
        errors = dict.fromkeys(given.keys() - self.types.keys(), "is not a parameter")
        errors |= dict.fromkeys(self.required - given.keys(), "is missing")
        known = [(name, each, given[name]) for name, each in self.types.items() if name in given]
        values = dict(zip((name for name, *_ in known), _read_all(known, errors), strict=True))
        try:
            return self.build(values)
        except ValueError as error:
            raise InvalidParametersError({"": str(error)}) from error


def form_of(taker: Callable[..., Any], *, is_method: bool = False) -> Form:
    """Return the form for the parameters of a function or of a constructor.

    Raises:
        DeclarationError: A parameter has no annotation, or one that no form can show.
    """
    name = getattr(taker, "__qualname__", repr(taker))
    try:
        parameters = list(inspect.signature(taker).parameters.values())[is_method:]
        hints = get_type_hints(_annotated(taker), include_extras=True)
    except (NameError, TypeError, ValueError) as error:
        raise DeclarationError(
            f"The parameters of {name} cannot be determined: {error}."
        ) from error
    for each in parameters:
        if each.kind not in _NAMED or each.name not in hints:
            raise DeclarationError(
                f"{name} takes {each}; give it an annotation, and a name under which it is passed."
            )
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    as_json = {n: value for n, default in defaults.items() for value in _as_json(default)}
    return Form(
        types={p.name: _type(hints[p.name], f"{p.name} of {name}") for p in parameters},
        required=frozenset(p.name for p in parameters if p.name not in defaults),
        defaults=as_json,
    )


def form_of_class(cls: type) -> Form:
    """Return the form for the constructor of a class; `build` returns the attributes it sets.

    Raises:
        DeclarationError: As for `form_of`.
    """
    form = form_of(cls)

    def build(values: Mapping[str, object]) -> Mapping[str, object]:
        made = cls(**values)
        return {name: getattr(made, name) for name in form.types}

    return dataclasses.replace(form, build=build)


def _annotated(taker: Any) -> Any:
    has_own = not isinstance(taker, type) or getattr(taker, "__annotations__", None)
    return taker if has_own else taker.__init__


def _read_all(
    parts: Iterable[tuple[str, ParameterType, object]], errors: Mapping[str, str] | None = None
) -> list[object]:
    """Return the values of all parts.

    Raises:
        InvalidParametersError: Some are not valid; it has their errors and those given.
    """
    found, values = dict(errors or {}), []
    for path, part, given in parts:
        try:
            values.append(part.read(given))
        except InvalidParametersError as error:
            found |= {f"{path}{below}": message for below, message in error.errors.items()}
    if found:
        raise InvalidParametersError(found)
    return values


def _type(hint: Any, of: str) -> ParameterType:
    if isinstance(hint, type) and hint in _SCALARS:
        return _SCALARS[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        inner = _type(arguments[0], of)
        texts = [each for each in arguments[1:] if isinstance(each, str)]
        return dataclasses.replace(inner, schema={**inner.schema, "description": " ".join(texts)})
    if origin is list:
        return _list(_type(arguments[0], of))
    if origin in {Union, UnionType} and len(arguments) == 2 and NoneType in arguments:  # noqa: PLR2004
        (other,) = (each for each in arguments if each is not NoneType)
        return _optional(_type(other, of))
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _enum(hint)
    raise DeclarationError(
        f"{of} is a {hint!r}, which no form can show; use str, int, float, bool, date, datetime,"
        " an Enum of str or int, a list[...] of these or ... | None."
    )


def _list(item: ParameterType) -> ParameterType:
    def read(given: object) -> object:
        if not isinstance(given, list):
            raise InvalidParametersError({"": "must be a list"})
        return _read_all((f"[{place}]", item, each) for place, each in enumerate(given))

    return ParameterType(schema={"type": "array", "items": item.schema}, read=read)


def _optional(inner: ParameterType) -> ParameterType:
    def read(given: object) -> object:
        return None if given is None else inner.read(given)

    return ParameterType(schema={"anyOf": [inner.schema, {"type": "null"}]}, read=read)


def _enum(cls: type[enum.Enum]) -> ParameterType:
    values = [member.value for member in cls]
    if not values or not {str, int}.issuperset(map(type, values)):
        raise DeclarationError(f"The values of {cls.__qualname__} are not all str or int.")

    def read(given: object) -> object:
        for value in values:
            if type(given) is type(value) and given == value:
                return cls(value)
        raise InvalidParametersError({"": f"must be one of {', '.join(map(str, values))}"})

    return ParameterType(schema={"enum": values}, read=read)


def _scalar(
    schema: Mapping[str, object], wanted: str, read: Callable[[Any], object]
) -> ParameterType:
    def checked(given: object) -> object:
        try:
            return read(given)
        except (TypeError, ValueError, OverflowError):
            raise InvalidParametersError({"": f"must be {wanted}"}) from None

    return ParameterType(schema=schema, read=checked)


def _exactly(wanted: type) -> Callable[[object], object]:
    def read(given: object) -> object:
        if type(given) is not wanted:
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


_SCALARS: Mapping[object, ParameterType] = {
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


def _as_json(default: object) -> Iterable[object]:
    """Yield a default as JSON; nothing if it cannot be written as JSON."""
    is_float = type(default) is float and math.isfinite(default)
    if default is None or is_float or type(default) in {str, int, bool}:
        yield default
    elif isinstance(default, dt.date):
        yield default.isoformat()
    elif isinstance(default, enum.Enum):
        yield default.value
    elif isinstance(default, list | tuple):
        items = [value for each in default for value in _as_json(each)]
        if len(items) == len(default):
            yield items
