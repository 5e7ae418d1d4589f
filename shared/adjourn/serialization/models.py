"""How values are encoded that consist of fields: of dataclasses, attrs classes, pydantic models.

They are carried field by field, each as it is, under the registered name of the class. Neither
attrs nor pydantic is imported: their classes are known by what these libraries give them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adjourn.errors import DeclarationError, DecodeError
from adjourn.registry import signature

# Beside the fields, whose names are none like this: those that were left to their defaults.
UNSET = "(unset)"
_MOST_TOLD = 5


Coders = tuple[Callable[[Any], object], Callable[[Any], object]]


def coders(cls: Any) -> Coders | None:
    """Return what encodes and what decodes the values of a class; None if it has no fields.

    Raises:
        DeclarationError: Its fields do not hold all of its state, or its library is too old.
    """
    if not isinstance(cls, type):
        return None
    given: Any = cls
    if dataclasses.is_dataclass(cls):  # pydantic has some, too, which validate by themselves
        fields = dataclasses.fields(cls)
        return _of_fields(cls, {each.name: each.name if each.init else None for each in fields})
    if hasattr(cls, "__attrs_attrs__"):
        attributes = given.__attrs_attrs__
        return _of_fields(
            cls, {each.name: each.alias if each.init else None for each in attributes}
        )
    if hasattr(cls, "__pydantic_validator__"):
        model = _Model.of(cls)
        return model.encode, model.decode
    return None


def _of_fields(cls: Any, fields: Mapping[str, str | None]) -> Coders:
    """Return the coders of a class whose values are made from their fields.

    Args:
        cls: The class.
        fields: By the name of each field, that of its argument; None if it takes none.
    """
    name = f"{cls.__module__}.{cls.__qualname__}"
    try:
        signature(cls).bind(**{argument: None for argument in fields.values() if argument})
    except TypeError as error:
        raise DeclarationError(f"{name} is not made from its fields: {error}.") from error
    if cls.__new__ is not object.__new__:
        raise DeclarationError(f"{name} may be more than its fields; use app.add_extension.")

    def encode(value: object) -> dict[str, object]:
        return {name: getattr(value, name) for name in fields if hasattr(value, name)}

    def decode(state: dict[str, object]) -> object:
        value = cls(**{name: state[key] for key, name in fields.items() if name and key in state})
        # The encoded values are those that __post_init__ or a converter left, which may differ
        # from the arguments.
        for name in fields.keys() & state.keys():
            object.__setattr__(value, name, state[name])
        return value

    return encode, decode


@dataclass(frozen=True, slots=True, eq=False)
class _Model:
    """A model of pydantic, whose values are encoded and decoded."""

    cls: Any

    @classmethod
    def of(cls, model: Any) -> _Model:
        """Return it.

        Raises:
            DeclarationError: Its pydantic is too old.
        """
        if "by_name" not in signature(model.model_validate).parameters:
            raise DeclarationError(f"{model.__qualname__} needs pydantic 2.11 or newer; update it.")
        return cls(model)

    def encode(self, value: Any) -> Mapping[str, object]:
        """Return the state of a value.

        Raises:
            ValueError: It would not validate where it arrives; the message says where.
        """
        fields = {name: value.__dict__[name] for name in self._names if name in value.__dict__}
        state = {**(value.__pydantic_extra__ or {}), **fields}
        if UNSET in state:
            raise ValueError(f"a field cannot be named {UNSET!r}")
        try:
            self._validated(state)
        except ValueError as error:
            raise ValueError("; ".join(_told(error)) or f"{error}") from error
        unset = sorted(fields.keys() - value.__pydantic_fields_set__)
        return {**state, UNSET: unset} if unset else state

    def decode(self, state: Mapping[str, Any]) -> object:
        """Return the value of a state.

        Validators may refuse it. What they would change is as it was encoded, since not all of them
        return the same for what they have returned before.

        Raises:
            DecodeError: It does not validate; the message has no values.
        """
        allows_extra = self.cls.model_config.get("extra") == "allow"
        given = {n: v for n, v in state.items() if n in self._names or allows_extra}
        unset = given.pop(UNSET, None) or state.get(UNSET, ())
        try:
            value, is_exact = self._validated(given)
        except ValueError as error:
            found = ", ".join(self._places(error)) or type(error).__name__
            raise DecodeError(f"it does not validate ({found}).") from error
        fields = {name: each for name, each in given.items() if name in self._names}
        if is_exact:
            value.__dict__.update(fields)
        were_set = (value.__pydantic_fields_set__ | given.keys()) - set(unset)
        object.__setattr__(value, "__pydantic_fields_set__", were_set)
        return value

    @property
    def _names(self) -> Mapping[str, object]:
        # Not before it is used: a class may be named in its own annotations, or in another's.
        fields: Mapping[str, object] = self.cls.model_fields
        return fields

    def _validated(self, state: Mapping[str, object]) -> tuple[Any, bool]:
        """Return a value, and whether the state has exactly the types of the model."""
        is_root = getattr(self.cls, "__pydantic_root_model__", False)
        given = state["root"] if is_root else state
        options = {"by_name": True, "by_alias": False}
        try:
            return self.cls.model_validate(given, strict=True, **options), True
        except ValueError:  # as of another revision, whose field had another type
            return self.cls.model_validate(given, strict=False, **options), False

    def _places(self, error: Any) -> Iterator[str]:
        """Yield the fields that are wrong, and what pydantic calls that."""
        for each in list(_errors(error))[:_MOST_TOLD]:
            # Behind the name of a field there may be keys, which are somebody's data.
            names = [str(part) for part in each["loc"][:1] if part in self._names]
            yield ": ".join([*names, each["type"]])


def _told(error: Any) -> Iterator[str]:
    for each in list(_errors(error))[:_MOST_TOLD]:
        yield ": ".join([".".join(map(str, each["loc"])), each["msg"]]).removeprefix(": ")


def _errors(error: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the errors that a ValidationError of pydantic lists; another error lists none."""
    if hasattr(error, "errors"):
        yield from error.errors(include_url=False, include_context=False, include_input=False)
