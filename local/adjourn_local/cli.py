"""The command line `adjourn`."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import NoReturn

from adjourn import AdjournError
from adjourn.errors import ConfigurationError, DeclarationError
from adjourn_local.errors import PackageError, StackError, UsageError
from adjourn_local.terminal import complain, visible

FAILURE = 1
USAGE_ERROR = 2
INTERRUPTED = 130  # as a shell reports after Ctrl-C

_HINT = "`adjourn up` prints these for the laptop stack, `terraform output environment` for others."

_COMMANDS = (
    "up",
    "clock",
    "faults",
    "runs",
    "cron",
    "dead",
    "call",
    "package",
    "export",
    "console",
    "audit",
    "doctor",
    "viur",
)


class _Parser(argparse.ArgumentParser):
    """Parses a command line; in errors it makes the control characters of arguments visible."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and an error, and exit."""
        super().error(visible(message))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0 done, 1 failed, 2 wrongly called, 130 stopped."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        options = _parser(words).parse_args(words)
        status: int = options.run(options)
    except (ConfigurationError, DeclarationError, PackageError, StackError, UsageError) as error:
        complain(error)
        if " is not set" in str(error):
            sys.stderr.write(f"{_HINT}\n")
        return USAGE_ERROR
    except UnicodeEncodeError as error:
        complain(f"{error.object!r:.100} is not Unicode text.")
        return USAGE_ERROR
    except AdjournError as error:
        complain(error)
        return FAILURE
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """Return a parser for the called command alone, or for all: importing them takes a while."""
    parser = _Parser(
        prog="adjourn", description="Run applications on adjourn: locally, packaged, in operation."
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    called = set(words[:1]) & set(_COMMANDS)
    for name in called or _COMMANDS:
        _command(name).add(commands.add_parser)
    return parser


def _command(name: str) -> ModuleType:
    try:
        return import_module(f"adjourn_local.commands.{name}")
    except ModuleNotFoundError as error:
        raise UsageError(f"{error}; `make venv` creates an environment that has it.") from None
