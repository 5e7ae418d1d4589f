"""Parameters of callable tasks as people type them, and as the JSON Schema of a form wants them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]


def without_null(schema: Schema) -> Schema:
    """Return the schema of a parameter that may be null, without that."""
    found: Schema = schema.get("anyOf", [schema])[0]
    return found


def is_list(schema: Schema) -> bool:
    """Return whether a parameter is a list."""
    return without_null(schema).get("type") == "array"


def parameter(schema: Schema, texts: Sequence[str]) -> object:
    """Return a value of the type of a schema; what does not fit is left to the function.

    Args:
        schema: The schema of one parameter.
        texts: What was typed: one text, or one for each item of a list.
    """
    plain = without_null(schema)
    if plain.get("type") == "array":
        return [_scalar(without_null(plain["items"]), text) for text in texts]
    return _scalar(plain, texts[0])


def _scalar(schema: Schema, text: str) -> object:
    if schema.get("type") in {"integer", "number", "boolean"}:
        try:
            return json.loads(text)
        except ValueError:
            return text
    return next((value for value in schema.get("enum", ()) if str(value) == text), text)
