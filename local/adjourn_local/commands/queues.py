"""The commands `adjourn queues`: what waits in each queue; pause, resume and purge one."""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from rich.table import Table

from adjourn.gcp.cloudtasks import CloudTaskQueue
from adjourn.serialization.sealing import sealer_of
from adjourn.settings import Settings
from adjourn_local.clients.queues import Queues, QueueState
from adjourn_local.commands import Add
from adjourn_local.commands.deployment import check_emulators
from adjourn_local.commands.output import console, is_agreed, iso, plain, print_json, say


def add(add: Add) -> None:
    """Declare the commands and their options."""
    parser = add("queues", help="inspect queues; pause, resume or purge one")
    parser.set_defaults(run=run)
    actions = parser.add_subparsers(required=True, metavar="action", dest="queues")
    found = actions.add_parser("list", help="show what waits, runs and fails in each")
    found.add_argument("--json", action="store_true", help="print JSON")
    for name, help_ in (
        ("pause", "dispatch nothing of it until it is resumed"),
        ("resume", "dispatch its tasks again"),
        ("purge", "delete all its tasks for good"),
    ):
        change = actions.add_parser(name, help=help_)
        change.add_argument("queue", help="its short name")
        if name == "purge":
            change.add_argument("--yes", action="store_true", help="do not ask")


def run(options: argparse.Namespace) -> int:
    """Carry out one of the commands and return the exit status.

    Raises:
        UsageError: There is no terminal to ask for confirmation.
        AdjournError: A setting is invalid, the queue does not exist, or the service is away.
    """
    queues = deployed_queues()
    if options.queues == "list":
        return _list(queues, options)
    question = f"Delete all tasks of {options.queue} for good?"
    if options.queues == "purge" and not is_agreed(question, yes=options.yes):
        return 1
    getattr(queues, options.queues)(options.queue)
    say(f"{options.queue} is {_DONE[options.queues]}")
    return 0


_NUMBERS = ("tasks", "running", "failing", "last minute", "a second", "at once", "attempts")
_COLUMNS = ("queue", "state", *_NUMBERS[:4], "next attempt", *_NUMBERS[4:])
_DONE = {"pause": "paused.", "resume": "running.", "purge": "empty."}


def deployed_queues() -> Queues:
    """Return the queues of the deployment that the environment names.

    Raises:
        ConfigurationError: A setting is missing or wrong.
    """
    settings = Settings.from_env(os.environ)
    check_emulators("CLOUDTASKS_EMULATOR_HOST")
    parent = f"projects/{settings.project}/locations/{settings.location}"
    sealer = sealer_of(settings)
    return Queues(client=CloudTaskQueue(settings).client, parent=parent, sealer=sealer)


def _list(queues: Queues, options: argparse.Namespace) -> int:
    found = queues.list()
    if options.json:
        print_json({"queues": [_record(queue) for queue in found]})
    elif found:
        console().print(_table(found))
    else:
        say("No queues.")
    return 0


def _record(queue: QueueState) -> Mapping[str, object]:
    times = {"oldest": iso(queue.oldest), "next_attempt": iso(queue.next_attempt)}
    return {**asdict(queue), **times}


def _table(queues: Sequence[QueueState]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in _COLUMNS:
        table.add_column(name, justify="right" if name in _NUMBERS else "left", overflow="fold")
    for queue in queues:
        cells = (
            queue.name,
            queue.state.lower(),
            f"{queue.waiting:,}",
            f"{queue.running:,}",
            f"{queue.failing:,}{'+' if queue.has_more else ''}",
            f"{queue.last_minute:,}",
            iso(queue.next_attempt) or "-",
            f"{queue.rate:g}",
            f"{queue.at_once:,}",
            "unlimited" if queue.max_attempts < 0 else f"{queue.max_attempts:,}",
        )
        table.add_row(*map(plain, cells))
    return table
