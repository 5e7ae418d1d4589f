"""The command line `adjourn`."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from adjourn import AdjournError, __version__
from adjourn.errors import ConfigurationError, DeclarationError
from adjourn_local.commands.deployment import connect
from adjourn_local.errors import PackageError, StackError, UsageError

FAILURE = 1
USAGE_ERROR = 2
INTERRUPTED = 130  # as a shell reports after Ctrl-C

_HINT = (
    "`adjourn up` prints these for the laptop stack, `terraform output environment` for others. A"
    " stack whose state folder .adjourn is here or above is found by itself."
)

_COMMANDS = (
    "up",
    "clock",
    "faults",
    "env",
    "exec",
    "tasks",
    "queues",
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
# They work on a deployment: the one that the environment names, else the stack that runs here.
_ON_DEPLOYMENT = frozenset(
    {"audit", "call", "clock", "console", "cron", "dead", "doctor", "faults", "queues", "runs"}
    | {"tasks"}
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0 done, 1 failed, 2 wrongly called, 130 stopped."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        if _ON_DEPLOYMENT & set(words[:1]):
            connect()  # before the options take their defaults from the environment
        options = _parser(words).parse_args(words)
        status: int = options.run(options)
    except (ConfigurationError, DeclarationError, PackageError, StackError, UsageError) as error:
        print(f"adjourn: {error}", file=sys.stderr)
        if " is not set" in str(error):
            print(_HINT, file=sys.stderr)
        return USAGE_ERROR
    except UnicodeEncodeError as error:
        print(f"adjourn: {error.object!r:.100} is not Unicode text.", file=sys.stderr)
        return USAGE_ERROR
    except AdjournError as error:
        print(f"adjourn: {error}", file=sys.stderr)
        return FAILURE
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """Return a parser for the called command alone, or for all: importing them takes a while."""
    parser = argparse.ArgumentParser(
        prog="adjourn", description="Run applications on adjourn: locally, packaged, in operation."
    )
    parser.add_argument("--version", action="version", version=f"adjourn {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    if words[:1] != ["--version"]:
        for name in set(words[:1]) & set(_COMMANDS) or _COMMANDS:
            _command(name).add(commands.add_parser)
    return parser


def _command(name: str) -> ModuleType:
    try:
        return import_module(f"adjourn_local.commands.{name}")
    except ModuleNotFoundError as error:
        raise UsageError(f"{error}; `make venv` creates an environment that has it.") from None
