"""Run functions-framework behind the stack's gate, with adjourn's clock following the stack's.

The stack's clock can be frozen and moved. The code that runs is the code that is deployed; only the
time that adjourn reads follows the clock offset in a file, requests of web pages are refused, and
what a task prints says whose it is.
"""

import datetime as dt
import logging
import mmap
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO, cast

from adjourn.clock import SystemClock
from adjourn.log import bound_fields
from adjourn_local.runtime import activation
from adjourn_local.runtime.attributed_output import AttributedOutput
from adjourn_local.runtime.breakpoints import skip_breakpoints
from adjourn_local.runtime.debugging import session_file
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


def debug(name: str, session: Path, *, in_terminal: bool, port: int) -> None:
    """Prepare this process for breakpoints.

    Args:
        name: The function's name.
        session: The file in which this process says that it is being debugged.
        in_terminal: Whether breakpoints open a debugger in the terminal.
        port: Where an editor finds debugpy; 0 for nowhere.
    """
    skip_breakpoints()
    if in_terminal or port:
        from adjourn_local.runtime import debugger  # noqa: PLC0415 - pdb takes a while to import

        debugger.take_time()
        if in_terminal:
            debugger.Terminal(session, os.getppid()).open()
        if port:
            debugger.listen(port, name)


def _main(arguments: Sequence[str]) -> None:
    listener, channel, clock, allowed_hosts, in_terminal, port, verbose, name = arguments
    follow(Path(clock))
    if int(verbose):
        logging.getLogger("adjourn").setLevel(logging.DEBUG)
    guard(allowed_hosts.split(","))
    activation.finish_requests()
    session = session_file(Path(clock))
    debug(name, session, in_terminal=bool(int(in_terminal)), port=int(port))
    sys.stdout = cast(TextIO, AttributedOutput(sys.stdout, bound_fields))
    spec = os.environ["ADJOURN_APP"]
    activation.run(int(listener), int(channel), lambda error: describe(error, spec, Path.cwd()))


if __name__ == "__main__":
    own, sys.argv[1:] = sys.argv[1:9], sys.argv[9:]
    _main(own)
