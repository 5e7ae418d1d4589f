"""Property masks: which properties, also inside embedded entities, a request is about."""

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
    r"""Return the names in a dotted path, in which `\` escapes a dot that belongs to a name.

    Raises:
        RpcError: A name is empty or the path ends with a lone backslash.
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
    """Return an entity's key and those of its properties that the mask names."""
    result = Entity()
    result.key.CopyFrom(entity.key)
    copy_masked(entity, result, mask)
    return result


def copy_masked(source: Any, target: Any, mask: Mask) -> None:
    """Make the masked properties of `target` what they are in `source`, deleting what is not."""
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
    """Return the embedded entity under a path, or None if there is none."""
    for name in names:
        if name not in entity.properties:
            return None
        value = entity.properties[name]
        if not value.HasField("entity_value"):
            return None
        entity = value.entity_value
    return entity


def reach(entity: Any, names: list[str]) -> Any:
    """Return the embedded entity under a path, making what is missing."""
    for name in names:
        value = entity.properties[name]
        value.entity_value.SetInParent()
        entity = value.entity_value
    return entity


def reserved(mask: Mask) -> Iterator[str]:
    """Yield the reserved names in a mask, which no write may touch."""
    for path in mask:
        for name in path:
            if path != ("__key__",) and name.startswith("__") and name.endswith("__"):
                yield name
