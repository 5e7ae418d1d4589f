"""The commands `adjourn batches`: the batches of the deployment that the environment names."""

import argparse
import os
from collections.abc import Callable
from itertools import islice

from rich.table import Table

from adjourn.batches.control import Batches
from adjourn.batches.summary import BatchSummary
from adjourn.errors import DecodeError
from adjourn.gcp import google_adapters
from adjourn.settings import Settings
from adjourn_local.commands import Add
from adjourn_local.commands.arguments import count
from adjourn_local.commands.deployment import check_emulators
from adjourn_local.commands.output import (
    console,
    field_lines,
    is_agreed,
    iso,
    plain,
    print_json,
    say,
)
from adjourn_local.terminal import complain


def add(add: Add) -> None:
    """Declare the commands and their options."""
    parser = add("batches", help="watch batches, cancel them or retry what failed")
    parser.set_defaults(run=run)
    actions = parser.add_subparsers(required=True, metavar="action", dest="batches")
    found = actions.add_parser("list", help="list them, the newest first")
    found.add_argument(
        "--limit", type=count, default=20, help="the largest number to list (default: %(default)s)"
    )
    for name, help_ in (
        ("show", "show how one stands, and what failed"),
        ("cancel", "let no more of its children begin"),
        ("retry", "run again what failed"),
    ):
        action = actions.add_parser(name, help=help_)
        action.add_argument("batch", help="its name or id")
        if name == "cancel":
            action.add_argument("--yes", action="store_true", help="do not ask")
        if name == "show":
            found_or_shown = action
    for each in (found, found_or_shown):
        each.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Carry out one of the commands and return the exit status.

    Raises:
        UsageError: There is no terminal to ask for consent.
        AdjournError: A setting is invalid, there is no such batch, or a service cannot be reached.
    """
    check_emulators("DATASTORE_EMULATOR_HOST")
    batches = Batches(adapters=google_adapters(Settings.from_env(os.environ), None))
    command: Callable[[Batches, argparse.Namespace], int] = _COMMANDS[options.batches]
    return command(batches, options)


def _list(batches: Batches, options: argparse.Namespace) -> int:
    shown = list(islice(batches.find(), options.limit))
    if options.json:
        print_json([_fields(each) for each in shown])
    elif shown:
        console().print(_table(shown))
    else:
        say("No batches.")
    return 0


def _show(batches: Batches, options: argparse.Namespace) -> int:
    handle = batches.get(options.batch)
    fields = _fields(handle.fetch())
    failed = [f"{each.kind} {each.id}" for each in handle.children("failed")]
    if options.json:
        print_json({**fields, "failed_children": failed})
        return 0
    lines = field_lines(fields, 12)
    if failed:
        lines += ["", "failed (adjourn dead show ID, adjourn runs show ID):", *failed]
    say("\n".join(lines))
    return 0


def _cancel(batches: Batches, options: argparse.Namespace) -> int:
    handle = batches.get(options.batch)
    if not is_agreed(f"Cancel the batch {options.batch}?", yes=options.yes):
        return 1
    if not handle.cancel():
        complain(f"{options.batch} has ended already.")
        return 1
    say(f"{options.batch} is cancelled; its children end when their time comes.")
    return 0


def _retry(batches: Batches, options: argparse.Namespace) -> int:
    try:
        retried = batches.get(options.batch).retry()
    except DecodeError as error:
        complain(error)
        return 1
    say(f"{retried} failed children of {options.batch} run again.")
    return 0


_COMMANDS = {"list": _list, "show": _show, "cancel": _cancel, "retry": _retry}


def _fields(summary: BatchSummary) -> dict[str, object]:
    times = {
        name: iso(summary[name])
        for name in ("created_at", "sealed_at", "ended_at")  # typed, so that mypy knows the keys
    }
    return {**summary, **times}


def _table(summaries: list[BatchSummary]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("name", "id", "status", "done", "failed", "cancelled", "total", "created (UTC)"):
        table.add_column(name, overflow="fold")
    for each in summaries:
        counts = (each["done"], each["failed"], each["cancelled"], each["total"])
        created = f"{each['created_at']:%Y-%m-%d %H:%M}"
        cells = (each["name"] or "-", each["id"], each["status"], *map(str, counts), created)
        table.add_row(*map(plain, cells))
    return table
