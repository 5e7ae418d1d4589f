"""The command line `adjourn`."""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any, NoReturn

from adjourn import AdjournError, __version__
from adjourn.errors import ConfigurationError, DeclarationError
from adjourn_local.commands.deployment import add_deployment, connected
from adjourn_local.errors import PackageError, StackError, UsageError
from adjourn_local.proxies import direct
from adjourn_local.terminal import complain, visible

FAILURE = 1
USAGE_ERROR = 2
INTERRUPTED = 130  # as a shell reports after Ctrl-C

_HINT = (
    "A laptop stack that was started here, or in a folder above, is found by itself; for another"
    " deployment, set what `terraform output environment` prints."
)

_COMMANDS = (
    "up",
    "emulators",
    "clock",
    "faults",
    "indexes",
    "env",
    "exec",
    "tasks",
    "queues",
    "runs",
    "cron",
    "batches",
    "flows",
    "schedules",
    "dead",
    "logs",
    "call",
    "key",
    "package",
    "export",
    "console",
    "audit",
    "doctor",
    "viur",
)
# They work on a deployment: the one that is named, else the laptop stack that runs here.
_ON_DEPLOYMENT = {
    "audit",
    "batches",
    "call",
    "console",
    "cron",
    "dead",
    "doctor",
    "flows",
    "queues",
    "runs",
    "schedules",
    "tasks",
}


class _Parser(argparse.ArgumentParser):
    """Parses a command line; in errors it makes the control characters of arguments visible.

    It can add `--project` and `--stack` to itself and to the parsers of its actions.
    """

    def __init__(self, *args: Any, on_deployment: bool = False, **options: Any) -> None:
        super().__init__(*args, **options)
        self._on_deployment = on_deployment
        self.set_defaults(on_deployment=on_deployment)
        if on_deployment:
            add_deployment(self)

    def add_subparsers(self, **options: Any) -> Any:
        """Add parsers of the same kind."""
        kind = partial(_Parser, on_deployment=self._on_deployment)
        return super().add_subparsers(**{"parser_class": kind, **options})

    def error(self, message: str) -> NoReturn:
        """Print the usage and an error, and exit."""
        super().error(visible(message))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0 done, 1 failed, 2 wrongly called, 130 stopped."""
    words = sys.argv[1:] if arguments is None else arguments
    os.environ.update(direct(os.environ))
    try:
        options = _parser(words).parse_args(words)
        with connected(options) if options.on_deployment else nullcontext():
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
    parser.add_argument("--version", action="version", version=f"adjourn {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    if words[:1] != ["--version"]:
        for name in set(words[:1]) & set(_COMMANDS) or _COMMANDS:
            on_deployment = name in _ON_DEPLOYMENT
            _command(name).add(partial(commands.add_parser, on_deployment=on_deployment))
    return parser


def _command(name: str) -> ModuleType:
    try:
        return import_module(f"adjourn_local.commands.{name}")
    except ModuleNotFoundError as error:
        raise UsageError(f"{error}; `make venv` creates an environment that has it.") from None
