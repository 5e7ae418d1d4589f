"""Parameters that people fill in as the fields of a model of pydantic."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adjourn.callable_tasks.forms import Form, InvalidParametersError, ParameterType
from adjourn.errors import DeclarationError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelForm(Form):
    """The fields of a model; pydantic itself says their schema, and reads what was given.

    Attributes:
        model: The model.
    """

    model: Any

    def schema(self) -> Mapping[str, object]:
        """Return the JSON Schema of the model."""
        schema: Mapping[str, object] = self.model.model_json_schema()
        others = {} if _allows_extra(self.model) else {"additionalProperties": False}
        return {"properties": {}, **schema, **others}

    def read(self, given: object) -> Mapping[str, object]:
        """Return the fields by name.

        Raises:
            InvalidParametersError: It is not valid; the exception has all errors.
        """
        if not isinstance(given, dict):
            raise InvalidParametersError({"": "must be an object"})
        errors: Mapping[str, str] = dict.fromkeys(self._unknown(given), "is not a parameter")
        try:
            made = self.model.model_validate_json(json.dumps(given))
        except ValueError as error:
            raise InvalidParametersError({**errors, **_by_path(error)}) from error
        if errors:
            raise InvalidParametersError(errors)
        return {name: getattr(made, name) for name in self.types}

    def _unknown(self, given: Mapping[str, object]) -> set[str]:
        if _allows_extra(self.model):
            return set()
        config = self.model.model_config
        has_names = config.get("populate_by_name") or config.get("validate_by_name")
        properties: Any = self.schema()["properties"]
        known = {*properties, *(self.types if has_names else ())}
        return given.keys() - known


def is_model(cls: type) -> bool:
    """Whether a class is a model of pydantic."""
    return hasattr(cls, "__pydantic_validator__") and hasattr(cls, "model_json_schema")


def model_form(cls: Any) -> ModelForm:
    """Return the form for the fields of a model.

    Raises:
        DeclarationError: It has no fields with names.
    """
    if getattr(cls, "__pydantic_root_model__", False):
        raise DeclarationError(f"{cls.__qualname__} has no fields; use a BaseModel with some.")
    field = ParameterType(schema={}, read=lambda given: given)
    return ModelForm(
        types=dict.fromkeys(cls.model_fields, field),
        required=frozenset(),
        defaults={},
        model=cls,
    )


def _allows_extra(model: Any) -> bool:
    return bool(model.model_config.get("extra") == "allow")


def _by_path(error: Any) -> Mapping[str, str]:
    """Return the errors that pydantic lists, by their paths."""
    if not hasattr(error, "errors"):
        return {"": str(error)}
    found: dict[str, str] = {}
    for each in error.errors(include_url=False, include_context=False, include_input=False):
        path = "".join(f"[{part}]" if type(part) is int else f".{part}" for part in each["loc"])
        message = each["msg"].removeprefix("Value error, ")
        found[path.removeprefix(".")] = "is missing" if each["type"] == "missing" else message
    return found
