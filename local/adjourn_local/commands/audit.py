"""The command `adjourn audit`: who changed what by the console."""

import argparse
import os
from dataclasses import asdict
from itertools import islice

from rich.table import Table

from adjourn.gcp import google_adapters
from adjourn.settings import Settings
from adjourn_local.commands import Add
from adjourn_local.commands.arguments import count
from adjourn_local.commands.deployment import check_emulators
from adjourn_local.commands.output import console, iso, plain, print_json, say
from adjourn_local.console.audit import Audit


def add(add: Add) -> None:
    """Declare the command and its options."""
    parser = add("audit", help="list what was changed by the console, the latest first")
    parser.set_defaults(run=run)
    parser.add_argument(
        "--limit", type=count, default=50, help="the largest number to list (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """List the changes and return the exit status.

    Raises:
        AdjournError: A setting is invalid, or a service cannot be reached.
    """
    check_emulators("DATASTORE_EMULATOR_HOST")
    audit = Audit(adapters=google_adapters(Settings.from_env(os.environ), None), who="")
    entries = list(islice(audit.find(), options.limit))
    if options.json:
        print_json({"changes": [{**asdict(each), "at": iso(each.at)} for each in entries]})
        return 0
    if not entries:
        say("Nothing was changed by a console.")
        return 0
    table = Table(box=None, pad_edge=False)
    for name in ("at", "who", "action", "subject", "result"):
        table.add_column(name, overflow="fold")
    for each in entries:
        cells = (iso(each.at) or "", each.who, each.action, each.subject, each.result)
        table.add_row(*map(plain, cells))
    console().print(table)
    return 0
