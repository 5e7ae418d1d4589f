"""Run functions-framework behind the stack's gate, with adjourn's clock following the stack's.

The stack's clock can be frozen and moved. The code that runs is the code that is deployed; only the
time that adjourn reads follows the clock offset in a file, and requests of web pages are refused.
"""

import datetime as dt
import mmap
import os
import sys
from pathlib import Path

from adjourn.clock import SystemClock
from adjourn_local.runtime import activation
from adjourn_local.runtime.function_gate import guard
from adjourn_local.runtime.import_errors import describe
from adjourn_local.timing.clock_offset import SIZE, ClockOffset


def follow(path: Path) -> None:
    """Make adjourn's clock in this process follow the clock offset in a file."""
    with path.open("rb") as file:
        shared = mmap.mmap(file.fileno(), SIZE, access=mmap.ACCESS_READ)

    def now(self: SystemClock) -> dt.datetime:  # noqa: ARG001 - it becomes a method
        return ClockOffset.decode(shared[:SIZE]).apply(dt.datetime.now(dt.UTC))

    SystemClock.now = now  # type: ignore[method-assign]


if __name__ == "__main__":
    listener, channel = int(sys.argv.pop(1)), int(sys.argv.pop(1))
    follow(Path(sys.argv.pop(1)))
    guard(sys.argv.pop(1).split(","))
    activation.finish_requests()
    spec = os.environ["ADJOURN_APP"]
    activation.run(listener, channel, lambda error: describe(error, spec, Path.cwd()))
