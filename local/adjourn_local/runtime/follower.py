"""Run functions-framework with adjourn's clock going by the stack's.

The stack's clock can be frozen and moved. What runs is what is deployed; only the time that adjourn
reads in it follows a word in a file, which is zero until somebody moves the clock.
"""

import datetime as dt
import mmap
import runpy
import sys
from pathlib import Path

from adjourn.clock import SystemClock
from adjourn_local.timing.clock_offset import SIZE, Shift


def follow(path: Path) -> None:
    """Let adjourn's clock in this process go by the shift in a file."""
    with path.open("rb") as file:
        shared = mmap.mmap(file.fileno(), SIZE, access=mmap.ACCESS_READ)

    def now(self: SystemClock) -> dt.datetime:  # noqa: ARG001 - it becomes a method
        return Shift.decode(shared[:SIZE]).of(dt.datetime.now(dt.UTC))

    SystemClock.now = now  # type: ignore[method-assign]


if __name__ == "__main__":
    follow(Path(sys.argv.pop(1)))
    runpy.run_module("functions_framework", run_name="__main__")
