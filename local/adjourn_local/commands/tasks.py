"""The commands `adjourn tasks`: what waits and fails in the queues; run or cancel one."""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import islice

from rich.table import Table

from adjourn_local.clients.queues import QueuedTask, Queues
from adjourn_local.commands import Add
from adjourn_local.commands.arguments import count, record_id
from adjourn_local.commands.output import console, is_agreed, iso, plain, print_json, say
from adjourn_local.commands.queues import deployed_queues
from adjourn_local.errors import UsageError

_PAGE = 1000
_LONGEST_CALL = 100


def add(add: Add) -> None:
    """Declare the commands and their options."""
    parser = add("tasks", help="inspect the tasks that wait; run or cancel one")
    parser.set_defaults(run=run)
    actions = parser.add_subparsers(required=True, metavar="action", dest="tasks")
    found = actions.add_parser("list", help="list what waits, queue by queue")
    found.add_argument("--task", help="only calls of this task, by its registered name")
    found.add_argument("--failed", action="store_true", help="only what has failed before")
    found.add_argument(
        "--limit", type=count, default=50, help="the largest number to list (default: %(default)s)"
    )
    shown = actions.add_parser("show", help="show everything about one")
    for each in (found, shown):
        each.add_argument("--json", action="store_true", help="print JSON")
    run_ = actions.add_parser("run", help="have one attempted now")
    cancel = actions.add_parser("cancel", help="delete one for good")
    cancel.add_argument("--yes", action="store_true", help="do not ask")
    for each in (shown, run_, cancel):
        each.add_argument("id", type=record_id, help="its id, as `list` has it")
    for each in (found, shown, run_, cancel):
        each.add_argument("--queue", help="only in this queue, by its short name")


def run(options: argparse.Namespace) -> int:
    """Carry out one of the commands and return the exit status.

    Raises:
        UsageError: There is no such task, or no terminal to ask for confirmation.
        AdjournError: A setting is invalid, or the service cannot be reached.
    """
    queues = deployed_queues()
    if options.tasks == "list":
        return _list(queues, options)
    task = _one(queues, options)
    if options.tasks == "show":
        return _show(task, options)
    if options.tasks == "cancel":
        if not is_agreed(f"Delete {task.id} of {task.queue} for good?", yes=options.yes):
            return 1
        queues.cancel(task.queue, task.id)
        say(f"{task.id} is deleted.")
        return 0
    queues.run(task.queue, task.id)
    say(f"{task.id} is attempted now.")
    return 0


def _list(queues: Queues, options: argparse.Namespace) -> int:
    wanted = (
        task
        for task in _all(queues, options.queue)
        if options.task in {None, task.task} and (task.has_failed or not options.failed)
    )
    tasks = list(islice(wanted, options.limit))
    has_more = next(wanted, None) is not None
    if options.json:
        print_json({"tasks": [_record(task) for task in tasks], "more": has_more})
    elif tasks:
        console().print(_table(tasks))
        if has_more:
            say("There are more; show them with --limit.")
    else:
        say("No tasks.")
    return 0


def _show(task: QueuedTask, options: argparse.Namespace) -> int:
    if options.json:
        print_json(_record(task))
        return 0
    fields = {key: value for key, value in _record(task).items() if key != "call"}
    lines = [f"{name.replace('_', ' '):<13}{value or '-'}" for name, value in fields.items()]
    say("\n".join([*lines, "", *task.call]))
    return 0


def _all(queues: Queues, queue: str | None) -> Iterator[QueuedTask]:
    names = [queue] if queue else queues.names()
    for name in names:
        after = ""
        while True:
            page = queues.tasks(name, size=_PAGE, after=after)
            yield from page.tasks
            if not (after := page.next):
                break


def _one(queues: Queues, options: argparse.Namespace) -> QueuedTask:
    for name in [options.queue] if options.queue else queues.names():
        if (found := queues.find(name, options.id)) is not None:
            return found
    raise UsageError(f"No task {options.id} waits; it has ended, or never was.")


def _record(task: QueuedTask) -> Mapping[str, object]:
    times = {"created": iso(task.created), "next_attempt": iso(task.next_attempt)}
    return {"id": task.id, **asdict(task), **times}


def _table(tasks: list[QueuedTask]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("id", "queue", "call", "attempts", "last answer", "next attempt"):
        table.add_column(name, overflow="fold")
    for task in tasks:
        call = task.call[0] if task.call else task.task
        cells = (
            task.id,
            task.queue,
            call[:_LONGEST_CALL],
            f"{task.attempts}{', running' if task.is_running else ''}",
            task.last_status or "-",
            iso(task.next_attempt) or "-",
        )
        table.add_row(*map(plain, cells))
    return table
