"""The arguments of Google's provider that adjourn uses, and how the protocol wants to be told."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from tests.terraform.protocol import LIST, SET, Messages

Field = dict[str, Any]
Block = dict[str, Field]

_PRIMITIVES = {"String": "string", "Bool": "bool", "Int": "number", "Float": "number"}
_FILES = ("google.json", "time.json")
_KINDS = ("data", "resources")
_ID: Field = {"type": "String", "Optional": True, "Computed": True}


@cache
def tables() -> dict[str, Any]:
    """Return what google.json and time.json hold: data sources and resources.

    It is what google 7.45.0 and time 0.13.1 say of the types that adjourn uses: types, defaults,
    enumerations, and what makes a resource be replaced.
    """
    told = [json.loads(Path(__file__).with_name(name).read_text()) for name in _FILES]
    return {kind: {n: t for each in told for n, t in each[kind].items()} for kind in _KINDS}


def block_of(type_name: str) -> Block:
    """Return the arguments of a resource or data source."""
    found = tables()["resources"].get(type_name) or tables()["data"][type_name]
    return {**found, "id": _ID}


def is_nested(field: Field) -> bool:
    """Whether it is written as a block; what the provider alone decides never is."""
    return "block" in field and bool(field.get("Optional") or field.get("Required"))


def schema(messages: Messages, type_name: str) -> Any:
    return messages.Schema(block=_block(messages, block_of(type_name)))


def _block(messages: Messages, fields: Block) -> Any:
    block = messages.Block()
    for name, field in fields.items():
        if is_nested(field):
            block.block_types.append(
                messages.NestedBlock(
                    type_name=name,
                    block=_block(messages, field["block"]),
                    nesting=SET if field["type"] == "Set" else LIST,
                    min_items=1 if field.get("Required") else 0,
                    max_items=field.get("MaxItems", 0),
                )
            )
        else:
            block.attributes.append(
                messages.Attribute(
                    name=name,
                    type=json.dumps(_type(field)).encode(),
                    required=field.get("Required", False),
                    optional=field.get("Optional", False),
                    computed=field.get("Computed", False),
                )
            )
    return block


def _type(field: Field) -> Any:
    if field["type"] in _PRIMITIVES:
        return _PRIMITIVES[field["type"]]
    if "block" in field:
        of = ["object", {name: _type(inner) for name, inner in field["block"].items()}]
    else:
        of = _PRIMITIVES[field.get("elem", "String")]
    return [field["type"].lower(), of]
