"""The command `adjourn exec`: run a program that is led to the stack that runs."""

import argparse
import os

from adjourn_local.commands import Add
from adjourn_local.commands.deployment import add_stack_port, running
from adjourn_local.errors import UsageError


def add(add: Add) -> None:
    """Declare the command and its options."""
    parser = add("exec", help="run a program with the variables that lead to the running stack")
    parser.set_defaults(run=run)
    add_stack_port(parser)
    parser.add_argument(
        "program", nargs=argparse.REMAINDER, help="the program and its arguments, after --"
    )


def run(options: argparse.Namespace) -> int:
    """Become the program: its signals and its exit status are its own.

    Raises:
        UsageError: No stack runs here, or several do, or there is no such program.
    """
    words = options.program[1:] if options.program[:1] == ["--"] else options.program
    if not words:
        raise UsageError("No program is named; write: adjourn exec -- flask run")
    environment = {**os.environ, **running(options).environment}
    try:
        os.execvpe(words[0], words, environment)  # noqa: S606 - as the user wants it
    except OSError as error:
        raise UsageError(f"{words[0]} cannot be run: {error.strerror}.") from None
