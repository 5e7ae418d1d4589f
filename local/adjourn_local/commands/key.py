"""The command `adjourn key`: make a key that signs or encrypts the bodies of tasks."""

import argparse
import secrets

from adjourn_local.commands import Add
from adjourn_local.commands.output import say

_BYTES = 32


def add(add: Add) -> None:
    """Declare the command."""
    parser = add("key", help="make a key for ADJOURN_ENVELOPE_KEY")
    parser.set_defaults(run=run)


def run(_options: argparse.Namespace) -> int:
    """Print a new key and return the exit status."""
    say(secrets.token_urlsafe(_BYTES))
    return 0
