"""The commands `adjourn tasks`: what waits and fails in the queues; run, cancel or purge."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from rich.table import Table

from adjourn.concurrency import in_parallel
from adjourn.errors import UnknownNameError
from adjourn_local.clients.kept_results import KeptResult, kept_result
from adjourn_local.clients.queued_task import QueuedTask
from adjourn_local.clients.queues import Queues
from adjourn_local.clients.task_search import TaskFilter, matching, search
from adjourn_local.commands import Add
from adjourn_local.commands.arguments import count, record_id
from adjourn_local.commands.output import (
    console,
    field_lines,
    is_agreed,
    iso,
    plain,
    print_json,
    say,
    text_of,
)
from adjourn_local.commands.queues import deployed_queues
from adjourn_local.errors import UsageError

_LONGEST_CALL = 100
_LONGEST_SHOWN = 20_000
_HIDDEN = "Calls are not shown: that takes the permission cloudtasks.tasks.fullView."


def add(add: Add) -> None:
    """Declare the commands and their options."""
    parser = add("tasks", help="inspect the tasks that wait; run, cancel or purge")
    parser.set_defaults(run=run)
    actions = parser.add_subparsers(required=True, metavar="action", dest="tasks")
    found = actions.add_parser("list", help="list what waits, queue by queue")
    found.add_argument(
        "--limit", type=count, default=50, help="the largest number to list (default: %(default)s)"
    )
    found.add_argument(
        "--cursor", default="", help="go on where another list has ended, which printed this"
    )
    shown = actions.add_parser("show", help="show everything about one, or its kept result")
    run_ = actions.add_parser("run", help="have one attempted now")
    cancel = actions.add_parser("cancel", help="delete one for good")
    purge = actions.add_parser("purge", help="delete all for good, or those that match")
    for each in (found, purge):
        each.add_argument("--task", default="", help="only calls of this task, by its name")
        each.add_argument("--failed", action="store_true", help="only what has failed before")
    for each in (found, shown):
        each.add_argument("--json", action="store_true", help="print JSON")
    for each in (cancel, purge):
        each.add_argument("--yes", action="store_true", help="do not ask")
    for each in (shown, run_, cancel):
        each.add_argument("id", type=record_id, help="its id, as `list` has it, or its full name")
    for each in (found, shown, run_, cancel, purge):
        each.add_argument("--queue", help="only in this queue, by its short name")


def run(options: argparse.Namespace) -> int:
    """Carry out one of the commands and return the exit status.

    Raises:
        UsageError: There is no terminal to ask for confirmation, or the cursor is wrong.
        AdjournError: A setting is invalid, there is no such task, or the service is away.
    """
    command: Callable[[Queues, argparse.Namespace], int] = _COMMANDS[options.tasks]
    return command(deployed_queues(), options)


def _list(queues: Queues, options: argparse.Namespace) -> int:
    wanted = TaskFilter(task=options.task, failed=options.failed)
    names = _names(queues, options)
    page = search(queues, names, wanted, limit=options.limit, cursor=options.cursor)
    if options.json:
        tasks = [_record(task) for task in page.tasks]
        print_json({"tasks": tasks, "cursor": page.next or None})
        return 0
    if not page.is_whole:
        say(_HIDDEN)
    if page.tasks:
        console().print(_table(page.tasks))
    else:
        say("No tasks.")
    if page.next:
        say(f"There may be more: --cursor {page.next}")
    return 0


def _show(queues: Queues, options: argparse.Namespace) -> int:
    try:
        task = _one(queues, options)
    except UsageError:
        found = kept_result(options.id.rpartition("/")[2])
        if found is None:
            raise
        return _show_result(found, options)
    if options.json:
        print_json(_record(task))
        return 0
    fields = {key: value for key, value in _record(task).items() if key != "call"}
    lines = field_lines(fields, 13, _text)
    call = "\n".join(task.call) if task.is_whole else _HIDDEN
    if len(call) > _LONGEST_SHOWN:
        more = f"{len(call) - _LONGEST_SHOWN:,} more characters, which --json shows"
        call = f"{call[:_LONGEST_SHOWN]}\n... {more}"
    say("\n".join([*lines, "", call]))
    return 0


def _show_result(found: KeptResult, options: argparse.Namespace) -> int:
    record = {**asdict(found), "kept_until": iso(found.kept_until)}
    if options.json:
        print_json(record)
        return 0
    shown = {key: value for key, value in record.items() if key not in {"value", "text"}}
    lines = field_lines(shown, 13, _text)
    say("\n".join([*lines, "", found.text[:_LONGEST_SHOWN]]))
    return 0


def _run(queues: Queues, options: argparse.Namespace) -> int:
    task = _one(queues, options)
    queues.run(task.queue, task.id)
    say(f"{task.id} is attempted now.")
    return 0


def _cancel(queues: Queues, options: argparse.Namespace) -> int:
    task = _one(queues, options)
    what = task.call[0][:_LONGEST_CALL] if task.call else task.task or task.url
    if not is_agreed(f"Delete {what} from {task.queue} for good?", yes=options.yes):
        return 1
    queues.cancel(task.queue, task.id)
    say(f"{task.id} is deleted.")
    return 0


def _purge(queues: Queues, options: argparse.Namespace) -> int:
    wanted = TaskFilter(task=options.task, failed=options.failed)
    names = _names(queues, options)
    if not wanted.is_empty:
        return _purge_matching(queues, names, wanted, options)
    if not is_agreed(f"Delete all tasks of {', '.join(names)} for good?", yes=options.yes):
        return 1
    for name in names:
        queues.purge(name)
        say(f"{name} is empty.")
    return 0


def _purge_matching(
    queues: Queues, names: Sequence[str], wanted: TaskFilter, options: argparse.Namespace
) -> int:
    found = matching(queues, names, wanted)
    if not found:
        say("No tasks.")
        return 0
    if not is_agreed(f"Delete {len(found):,} tasks for good?", yes=options.yes):
        return 1

    def delete(place: tuple[str, str]) -> bool:
        try:
            queues.cancel(*place)
        except UnknownNameError:  # it has ended meanwhile
            return False
        return True

    say(f"{sum(in_parallel(delete, found)):,} tasks are deleted.")
    return 0


_COMMANDS = {"list": _list, "show": _show, "run": _run, "cancel": _cancel, "purge": _purge}


def _names(queues: Queues, options: argparse.Namespace) -> Sequence[str]:
    return [options.queue] if options.queue else queues.names()


def _one(queues: Queues, options: argparse.Namespace) -> QueuedTask:
    """Return the task that is named, from the first queue that has it."""
    parts = options.id.split("/")
    names = [parts[-3]] if len(parts) > 2 else _names(queues, options)  # noqa: PLR2004
    for name in names:
        try:
            return queues.task(name, parts[-1])
        except UnknownNameError:
            continue
    raise UsageError(f"No task {options.id} waits; it has ended, or never was.")


def _record(task: QueuedTask) -> Mapping[str, object]:
    times = {
        "created": iso(task.created),
        "next_attempt": iso(task.next_attempt),
        "last_attempt": iso(task.last_attempt),
    }
    return {"id": task.id, **asdict(task), **times}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return text_of(value)


def _table(tasks: Sequence[QueuedTask]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("id", "queue", "call", "attempts", "last answer", "next attempt"):
        table.add_column(name, overflow="fold")
    for task in tasks:
        call = task.call[0] if task.call else task.task or task.url
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
