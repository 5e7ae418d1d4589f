"""Read and write calls without the application's types: their arguments stay encoded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adjourn.serialization.codec import Codec, Json, from_json


class _Verbatim(Codec):
    """Leaves arguments in their JSON form, so that their types need not be registered."""

    def encode(self, value: object, path: str = "value") -> Json:
        is_verbatim = isinstance(value, list | dict)
        return value if is_verbatim else super().encode(value, path)  # type: ignore[return-value]

    def decode(self, tree: Json) -> Any:
        # Only markers of fields are decoded; other dicts are arguments or context.
        if isinstance(tree, dict) and "$dict" not in tree and "$" in "".join(tree):
            return super().decode(tree)
        return tree

    def read(self, body: bytes) -> tuple[Any, Callable[[Any], Any]]:
        """Return the JSON of a body, with what decodes a part of it."""
        return from_json(body), self.decode


VERBATIM = _Verbatim()
