"""One form of all encoded values that Python takes for equal, to name them by."""

from __future__ import annotations

import enum
import json

from adjourn.serialization.codec import Codec, Json


def canonical(tree: Json, codec: Codec) -> Json:
    """Return what the encoded forms of equal values have in common.

    The members of sets and dicts come in one order, and a member of an enum whose members are
    texts or numbers is its value. It cannot be decoded.

    Args:
        tree: A result of `Codec.encode`.
        codec: What encoded it.
    """
    if isinstance(tree, list):
        return [canonical(each, codec) for each in tree]
    if not isinstance(tree, dict):
        return tree
    marker, content = next(iter(tree.items()), ("", None))
    if marker in {"$set", "$frozenset"} and isinstance(content, list):
        return {marker: sorted((canonical(each, codec) for each in content), key=_text)}
    if marker == "$dict" and isinstance(content, list):
        return _canonical_dict([canonical(pair, codec) for pair in content])
    if marker.startswith("$:") and isinstance(content, str | int):
        member = codec.decode(tree)
        if isinstance(member, enum.Enum) and isinstance(member, str | int):
            return canonical(codec.encode(member.value), codec)
    if marker.startswith("$:") and isinstance(content, dict):
        from adjourn.serialization.models import UNSET  # noqa: PLC0415 - for values of own classes

        tree = {marker: {name: each for name, each in content.items() if name != UNSET}}
    return {name: canonical(each, codec) for name, each in tree.items()}


def _canonical_dict(pairs: list[Json]) -> Json:
    names = [pair[0] for pair in pairs if isinstance(pair, list)]
    # Keys of an enum may have become texts, and then it is encoded like any dict with names.
    if all(isinstance(name, str) and "$" not in name for name in names):
        return {str(pair[0]): pair[1] for pair in pairs if isinstance(pair, list)}
    return {"$dict": sorted(pairs, key=_text)}


def _text(tree: Json) -> str:
    return json.dumps(tree, sort_keys=True)
