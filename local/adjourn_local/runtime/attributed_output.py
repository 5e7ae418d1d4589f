"""What a task prints, as log lines that say which task printed them."""

import json
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from adjourn_local.runtime.log_lines import cut

# Of a longer line, which the stack would not read to its end, both ends are kept.
_LONGEST = 100_000


class AttributedOutput:
    """Text stream that adds the fields of the running task to each whole line.

    Args:
        stream: Where to write.
        fields: Returns the fields of what runs in this thread; none outside of a task.
    """

    def __init__(self, stream: TextIO, fields: Callable[[], Mapping[str, object]]) -> None:
        self._stream = stream
        self._fields = fields

    def write(self, text: str) -> int:
        """Write whole lines with their fields; anything else, and lines of JSON, as they are."""
        if fields := self._fields():
            *lines, rest = text.split("\n")
            self._stream.write("".join(_attributed(line, fields) for line in lines) + rest)
        else:
            self._stream.write(text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _attributed(line: str, fields: Mapping[str, object]) -> str:
    if line.startswith("{"):
        return f"{line}\n"
    return json.dumps({"message": cut(line, _LONGEST), **fields}, default=str) + "\n"
