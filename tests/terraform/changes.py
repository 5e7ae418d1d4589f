"""What a provider plans: defaults, what is not yet known, what is kept, what must be replaced."""

import re
from collections.abc import Iterator
from typing import Any

from tests.terraform.schema import Block, Field, is_nested
from tests.terraform.stored import is_same_dashboard
from tests.terraform.values import UNKNOWN, State, Value

_SECONDS = re.compile(r"([0-9]+(?:\.[0-9]+)?)s")


def planned(fields: Block, prior: State | None, proposed: State) -> State:
    """Return a proposed state as it will be, as far as that is known."""
    prior = prior or {}
    return {
        name: _planned(field, prior.get(name), proposed.get(name), is_new=not prior)
        for name, field in fields.items()
    }


def _planned(field: Field, prior: Value, proposed: Value, *, is_new: bool) -> Value:
    if is_nested(field):
        return _planned_blocks(field, prior or [], proposed or [])
    if proposed is None and "Default" in field:
        return _default(field)
    if proposed is None and field.get("Computed"):
        return UNKNOWN if is_new else prior
    if field.get("DiffSuppressed") and _is_overlooked(prior, proposed):
        return prior
    return proposed


def _planned_blocks(field: Field, prior: list[State], proposed: Value) -> Value:
    if proposed is UNKNOWN:
        return proposed
    before = [*prior, *[None] * len(proposed)]
    return [planned(field["block"], old, new) for old, new in zip(before, proposed, strict=False)]


def _default(field: Field) -> Value:
    text = field["Default"]
    if field["type"] == "Bool":
        return text == "true"
    return float(text) if field["type"] in {"Int", "Float"} else text


def _is_overlooked(prior: Value, proposed: Value) -> bool:
    return _is_same_time(prior, proposed) or (
        isinstance(proposed, str) and proposed[:1] == "{" and is_same_dashboard(prior, proposed)
    )


def _is_same_time(one: Value, other: Value) -> bool:
    if not isinstance(one, str) or not isinstance(other, str):
        return False
    seconds = [_SECONDS.fullmatch(text) for text in (one, other)]
    return all(seconds) and float(seconds[0][1]) == float(seconds[1][1])


def replacing(fields: Block, prior: State, new: State) -> list[str]:
    """Return the arguments whose change makes a new resource necessary."""
    return [
        name
        for name, field in fields.items()
        if prior.get(name) != new.get(name) and any(_forces(field))
    ]


def _forces(field: Field) -> Iterator[bool]:
    yield bool(field.get("ForceNew"))
    for inner in field.get("block", {}).values():
        yield from _forces(inner)


def mistakes(fields: Block, config: State, path: str = "") -> Iterator[str]:
    """Yield a sentence for every value that is not among those that are allowed."""
    for name, field in fields.items():
        value = config.get(name)
        if is_nested(field):
            for inner in [] if value is UNKNOWN else value or []:
                yield from mistakes(field["block"], inner, f"{path}{name}.")
        elif _is_outside(field, value):
            yield f"expected {path}{name} to be one of {field['Enum']}, got {value}"


def _is_outside(field: Field, value: Any) -> bool:
    return "Enum" in field and isinstance(value, str) and value not in field["Enum"]


def settled(fields: Block, new: State, told: State) -> State:
    """Return a state in which what was not known is as told, or empty."""
    result = dict(new)
    for name, field in fields.items():
        if is_nested(field):
            result[name] = [settled(field["block"], inner, {}) for inner in new[name] or []]
        elif new.get(name) is UNKNOWN:
            result[name] = told.get(name)
    return result
