"""The command `adjourn logs`: what a stack and its functions have logged, and what they log now."""

import argparse
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from adjourn_local.commands import Add
from adjourn_local.commands.arguments import count
from adjourn_local.commands.deployment import add_stack_port, find_running
from adjourn_local.commands.up_options import DEFAULT_STATE
from adjourn_local.errors import UsageError
from adjourn_local.runtime.log_display import LogDisplay, has_colours, is_routine
from adjourn_local.runtime.log_file import NAME, LogReader
from adjourn_local.runtime.log_lines import LogLine

_LOOK_EVERY = 0.2


def add(add: Add) -> None:
    """Declare the command and its options."""
    logs = add("logs", help="show what the stack and its functions have logged")
    logs.set_defaults(run=run)
    logs.add_argument("-f", "--follow", action="store_true", help="go on with what is logged")
    logs.add_argument(
        "-n",
        "--lines",
        type=count,
        default=100,
        help="how many of the last lines to show (default: %(default)s)",
    )
    logs.add_argument(
        "--task", help="only of this task or iteration, by its registered name or the end of it"
    )
    logs.add_argument("--queue", help="only of tasks from this queue, by its short name")
    logs.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="the state folder (default: that of the running stack, else .adjourn)",
    )
    add_stack_port(logs)
    logs.add_argument(
        "--verbose",
        action="store_true",
        help="also what went well, and every traceback",
    )
    logs.add_argument("--json", action="store_true", help="print each line as JSON")


def run(options: argparse.Namespace) -> int:
    """Show the lines and return the exit status; with `--follow`, go on until Ctrl-C.

    Raises:
        UsageError: There is no log.
    """
    reader = LogReader(_folder(options))
    display = LogDisplay(print, colours=has_colours(sys.stdout), verbose=options.verbose)
    show: Callable[[LogLine], object] = display.show
    if options.json:
        show = lambda line: print(line.to_json())  # noqa: E731
    last = deque((line for line in reader.read() if _is_wanted(line, options)), options.lines)
    for line in last:
        show(line)
    while options.follow:
        sys.stdout.flush()
        time.sleep(_LOOK_EVERY)
        for line in reader.read():
            if _is_wanted(line, options):
                show(line)
    reader.close()
    return 0


def _folder(options: argparse.Namespace) -> Path:
    stack = None if options.state else find_running(options)
    if stack and stack.state is None:
        raise UsageError("The stack that runs here keeps no log, as it was started with --memory.")
    folder = options.state or Path(stack.state if stack and stack.state else DEFAULT_STATE)
    if not ((folder / NAME).exists() or (options.follow and folder.is_dir())):
        raise UsageError(f"There is no log in {folder}; name the state folder with --state.")
    return folder


def _is_wanted(line: LogLine, options: argparse.Namespace) -> bool:
    if options.queue and line.queue != options.queue:
        return False
    if options.task and options.task != line.task and not line.task.endswith(f".{options.task}"):
        return False
    return options.verbose or options.json or not is_routine(line)
