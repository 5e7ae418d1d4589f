"""CPU time of a running stack: of its own process, and of the deferred function's."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def cpu(stack: int) -> tuple[float, float]:
    """Return the CPU seconds of the stack's process, and of the deferred function.

    Args:
        stack: Process id of the stack.
    """
    below = list(_below(stack))
    return _seconds(stack), sum(_seconds(each) for each in below if _is_deferred(each))


def _below(process: int) -> Iterator[int]:
    for each in Path(f"/proc/{process}/task").iterdir():
        for child in (each / "children").read_text().split():
            yield int(child)
            yield from _below(int(child))


def _is_deferred(process: int) -> bool:
    return b"--target\0deferred\0" in Path(f"/proc/{process}/cmdline").read_bytes()


def _seconds(process: int) -> float:
    with suppress(OSError):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK
    return 0.0
