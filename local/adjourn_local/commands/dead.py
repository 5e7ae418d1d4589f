"""The commands `adjourn dead`: the dead letters of the deployment that the environment names."""

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from itertools import islice

from rich.table import Table

from adjourn.errors import DecodeError, UnknownNameError
from adjourn.execution.replay import StoredDeadLetters
from adjourn.execution.stored_letters import DeadLetterFilter, StoredDeadLetter
from adjourn.gcp import google_adapters
from adjourn.settings import Settings
from adjourn_local.clients.call_text import body_tree, call_lines
from adjourn_local.commands import Add
from adjourn_local.commands.arguments import add_ages, age_range, count, record_id
from adjourn_local.commands.deployment import check_emulators
from adjourn_local.commands.output import console, is_agreed, iso, plain, print_json, say
from adjourn_local.errors import UsageError
from adjourn_local.terminal import complain

_LONGEST_ERROR = 100


def add(add: Add) -> None:
    """Declare the commands and their options."""
    parser = add("dead", help="inspect dead letters, replay or discard them")
    parser.set_defaults(run=run)
    actions = parser.add_subparsers(required=True, metavar="action", dest="dead")
    filters = argparse.ArgumentParser(add_help=False)
    filters.add_argument("--task", help="only those of this task, by its registered name")
    filters.add_argument("--queue", help="only those from this queue")
    add_ages(filters)
    found = actions.add_parser("list", parents=[filters], help="list them, the newest first")
    found.add_argument(
        "--limit", type=count, default=50, help="the largest number to list (default: %(default)s)"
    )
    shown = actions.add_parser("show", help="show everything about one")
    shown.add_argument("id", type=record_id)
    for each in (found, shown):
        each.add_argument("--json", action="store_true", help="print JSON")
    for name, help_ in (
        ("replay", "enqueue their calls again and remove them"),
        ("discard", "remove them for good"),
    ):
        action = actions.add_parser(name, parents=[filters], help=help_)
        action.add_argument("ids", nargs="*", type=record_id, metavar="id")
        action.add_argument("--all", action="store_true", help="all that match the filters")
        action.add_argument("--yes", action="store_true", help="do not ask")
        if name == "replay":
            action.add_argument(
                "--vouch",
                action="store_true",
                help="take calls for genuine that cannot prove it; look at them first",
            )


def run(options: argparse.Namespace) -> int:
    """Carry out one of the commands and return the exit status.

    Raises:
        UsageError: The options contradict each other, or there is no terminal to ask for consent.
        AdjournError: A setting is invalid, or a service cannot be reached.
    """
    check_emulators("DATASTORE_EMULATOR_HOST")
    adapters = google_adapters(Settings.from_env(os.environ), None)
    command: Callable[[StoredDeadLetters, argparse.Namespace], int] = _COMMANDS[options.dead]
    return command(StoredDeadLetters.of(adapters), options)


def _list(dead_letters: StoredDeadLetters, options: argparse.Namespace) -> int:
    found = dead_letters.find(_wanted(dead_letters, options))
    letters = list(islice(found, options.limit))
    more = sum(1 for _ in found)
    if options.json:
        print_json({"letters": [_summary(letter) for letter in letters], "more": more})
    elif letters:
        console().print(_table(letters))
        if more:
            say(f"{more} more; show them with --limit.")
    else:
        say("No dead letters.")
    return 0


def _show(dead_letters: StoredDeadLetters, options: argparse.Namespace) -> int:
    letter = dead_letters.get(options.id)
    sealer = dead_letters.sealer
    if options.json:
        body = body_tree(letter.body, sealer, letter.queue, letter.name)
        print_json({**_summary(letter), "traceback": letter.traceback, "body": body})
        return 0
    lines = [
        f"{name.replace('_', ' '):<12}{'-' if value is None else value}"
        for name, value in _summary(letter).items()
    ]
    call = call_lines(letter.body, sealer, letter.queue, letter.name)
    say("\n".join([*lines, "", letter.traceback.rstrip(), "", *call]))
    return 0


def _replay(dead_letters: StoredDeadLetters, options: argparse.Namespace) -> int:
    ids = _chosen(dead_letters, options)
    if ids and options.all and not is_agreed(f"Replay {len(ids)} dead letters?", yes=options.yes):
        return 1

    def replay(task_id: str) -> str:
        name = dead_letters.replay(task_id, is_vouched_for=options.vouch)
        return f"{task_id} is now {name}"

    return _each(ids, replay)


def _discard(dead_letters: StoredDeadLetters, options: argparse.Namespace) -> int:
    ids = _chosen(dead_letters, options)
    if ids and not is_agreed(f"Discard {len(ids)} dead letters for good?", yes=options.yes):
        return 1

    def discard(task_id: str) -> str:
        dead_letters.discard(task_id)
        return f"{task_id} is discarded"

    return _each(ids, discard)


_COMMANDS = {"list": _list, "show": _show, "replay": _replay, "discard": _discard}


def _wanted(dead_letters: StoredDeadLetters, options: argparse.Namespace) -> DeadLetterFilter:
    since, before = age_range(options, dead_letters.clock.now())
    return DeadLetterFilter(task=options.task, queue=options.queue, since=since, before=before)


def _chosen(dead_letters: StoredDeadLetters, options: argparse.Namespace) -> Sequence[str]:
    filters = (options.task, options.queue, options.newer, options.older)
    is_filtered = any(each is not None for each in filters)
    if bool(options.ids) == options.all or (is_filtered and not options.all):
        raise UsageError("Give either ids or --all, the latter with filters if needed.")
    if options.all:
        return [letter.task_id for letter in dead_letters.find(_wanted(dead_letters, options))]
    return list(dict.fromkeys(options.ids))


def _each(ids: Sequence[str], work: Callable[[str], str]) -> int:
    """Apply `work` to every id; continue after errors of single dead letters."""
    if not ids:
        say("No dead letters.")
    status = 0
    for task_id in ids:
        try:
            say(work(task_id))
        except (UnknownNameError, DecodeError) as error:
            status = 1
            complain(error)
    return status


def _table(letters: Sequence[StoredDeadLetter]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("id", "task", "queue", "attempts", "when (UTC)", "error"):
        table.add_column(name, no_wrap=name not in {"task", "error"}, overflow="fold")
    for letter in letters:
        cells = (
            letter.task_id,
            letter.task or "-",
            letter.queue,
            str(letter.attempts),
            f"{letter.buried_at:%Y-%m-%d %H:%M}",
            letter.error.partition("\n")[0][:_LONGEST_ERROR],
        )
        table.add_row(*map(plain, cells))
    return table


def _summary(letter: StoredDeadLetter) -> Mapping[str, object]:
    return {
        "id": letter.task_id,
        "task": letter.task,
        "queue": letter.queue,
        "attempts": letter.attempts,
        "buried_at": iso(letter.buried_at),
        "expires_at": iso(letter.expires_at),
        "replayed_at": iso(letter.replayed_at),
        "error": letter.error,
    }
