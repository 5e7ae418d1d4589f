"""Property masks: select properties, also inside embedded entities."""

import re
from collections.abc import Iterator
from typing import Any

from adjourn_local.datastore.messages import Entity, invalid

Path = tuple[str, ...]
Mask = tuple[Path, ...]

_PART = re.compile(r"((?:[^.\\]|\\.)*)(\.|$)")


def parse(message: Any) -> Mask:
    """Return the paths of a PropertyMask."""
    return tuple(parse_path(path) for path in message.paths)


def parse_path(text: str) -> Path:
    r"""Split a dotted path into names; `\` escapes a dot inside a name.

    Raises:
        RpcError: A name is empty, or the path ends with a single backslash.
    """
    names, at = [], 0
    while True:
        match = _PART.match(text, at)
        if match is None or not match[1]:
            raise invalid(f'The property path "{text}" is invalid.')
        names.append(re.sub(r"\\(.)", r"\1", match[1]))
        at = match.end()
        if not match[2]:
            return tuple(names)


def masked(entity: Any, mask: Mask) -> Any:
    """Return a copy of an entity with its key and the masked properties only."""
    result = Entity()
    result.key.CopyFrom(entity.key)
    copy_masked(entity, result, mask)
    return result


def copy_masked(source: Any, target: Any, mask: Mask) -> None:
    """Copy the masked properties from `source` to `target`; delete those that `source` lacks."""
    for path in mask:
        if path == ("__key__",):
            continue
        *outer, name = path
        given = find(source, outer)
        if given is not None and name in given.properties:
            reach(target, outer).properties[name].CopyFrom(given.properties[name])
        else:
            holder = find(target, outer)
            if holder is not None and name in holder.properties:
                del holder.properties[name]


def find(entity: Any, names: list[str]) -> Any | None:
    """Return the embedded entity at a path, or None."""
    for name in names:
        if name not in entity.properties:
            return None
        value = entity.properties[name]
        if not value.HasField("entity_value"):
            return None
        entity = value.entity_value
    return entity


def reach(entity: Any, names: list[str]) -> Any:
    """Return the embedded entity at a path; create missing ones."""
    for name in names:
        value = entity.properties[name]
        value.entity_value.SetInParent()
        entity = value.entity_value
    return entity


def reserved(mask: Mask) -> Iterator[str]:
    """Yield the reserved names in a mask, which cannot be written."""
    for path in mask:
        for name in path:
            if path != ("__key__",) and name.startswith("__") and name.endswith("__"):
                yield name
