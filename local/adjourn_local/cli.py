"""The command `adjourn`."""

import argparse
import sys
from collections.abc import Sequence

from adjourn import AdjournError
from adjourn.errors import ConfigurationError, DeclarationError
from adjourn_local.commands import dead, export, package, up
from adjourn_local.commands.arguments import UsageError
from adjourn_local.errors import PackageError, StackError

FAILURE = 1
USAGE_ERROR = 2

_COMMANDS = (up, dead, package, export)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0 done, 1 failed, 2 wrongly called."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except (ConfigurationError, DeclarationError, PackageError, StackError, UsageError) as error:
        print(f"adjourn: {error}", file=sys.stderr)
        return USAGE_ERROR
    except AdjournError as error:
        print(f"adjourn: {error}", file=sys.stderr)
        return FAILURE
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="adjourn", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    for command in _COMMANDS:
        command.add(commands.add_parser)
    return parser
