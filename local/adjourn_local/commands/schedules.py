"""The commands `adjourn schedules`: the schedules that an application has made at run time."""

import argparse
import datetime as dt
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from rich.table import Table

from adjourn import App
from adjourn.errors import AdjournError, UnknownNameError
from adjourn.schedules.control import Schedules
from adjourn.schedules.schedule import Schedule
from adjourn_local.clients.call_text import call_text
from adjourn_local.commands import Add
from adjourn_local.commands.application import add_app, chosen, import_app
from adjourn_local.commands.arguments import count, duration, record_id
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
from adjourn_local.errors import UsageError
from adjourn_local.terminal import complain


def add(add: Add) -> None:
    """Declare the commands and their options."""
    parser = add("schedules", help="inspect schedules made at run time, put, pause or delete some")
    parser.set_defaults(run=run)
    actions = parser.add_subparsers(required=True, metavar="action", dest="schedules")
    shared = argparse.ArgumentParser(add_help=False)
    add_app(shared)
    shared.add_argument("--json", action="store_true", help="print JSON")
    found = actions.add_parser("list", parents=[shared], help="list them by name")
    found.add_argument("prefix", nargs="?", default="", help="only those whose names begin so")
    found.add_argument(
        "--limit", type=count, default=50, help="the largest number to list (default: %(default)s)"
    )
    shown = actions.add_parser("show", parents=[shared], help="show everything about one")
    shown.add_argument("name", type=record_id)
    _add_put(actions.add_parser("put", parents=[shared], help="put one, or change it"))
    for name, help_ in (
        ("pause", "let some be due no more until they are resumed"),
        ("resume", "let paused ones be due again"),
        ("delete", "delete some for good"),
    ):
        change = actions.add_parser(name, parents=[shared], help=help_)
        change.add_argument("names", nargs="+", type=record_id, metavar="name")
        if name == "delete":
            change.add_argument("--yes", action="store_true", help="do not ask")


def _add_put(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", type=record_id)
    parser.add_argument("task", help="the task that it calls, by its registered name")
    parser.add_argument(
        "--args", default="[]", metavar="JSON", help="a list of positional arguments"
    )
    parser.add_argument(
        "--kwargs", default="{}", metavar="JSON", help="an object of keyword arguments"
    )
    when = parser.add_mutually_exclusive_group(required=True)
    when.add_argument("--cron", help='such as "0 8 * * mon"')
    when.add_argument("--interval", type=duration, help="such as 90m, 4h, 1d")
    when.add_argument("--at", type=_instant, metavar="TIME", help="such as 2027-01-01T08:00:00Z")
    parser.add_argument("--time-zone", default="UTC", help="that of --cron (default: %(default)s)")
    parser.add_argument("--until", type=_instant, metavar="TIME", help="the end")
    parser.add_argument("--overlap", choices=["skip", "allow"], default="skip")
    parser.add_argument("--grace", type=duration, help="leave out what is found later than this")
    parser.add_argument("--cron-name", help="the cron name that serves it")


def run(options: argparse.Namespace) -> int:
    """Carry out one of the commands and return the exit status.

    Raises:
        UsageError: An argument is invalid, or there is no terminal to ask for confirmation.
        AdjournError: A setting or the application is invalid, or a service cannot be reached.
    """
    app = import_app(*chosen(options))
    check_emulators("DATASTORE_EMULATOR_HOST")
    command: Callable[[App, argparse.Namespace], int] = _COMMANDS[options.schedules]
    return command(app, options)


def _list(app: App, options: argparse.Namespace) -> int:
    found = app.schedules.list(options.prefix)
    schedules = list(islice(found, options.limit))
    more = next(found, None) is not None
    if options.json:
        print_json({"schedules": [_summary(each) for each in schedules], "more": more})
    elif schedules:
        console().print(_table(schedules))
        if more:
            say("There are more; show them with --limit, or give the beginning of their names.")
    else:
        say("No schedules.")
    return 0


def _show(app: App, options: argparse.Namespace) -> int:
    schedule = app.schedules.get(options.name)
    if schedule is None:
        raise UnknownNameError(f"There is no schedule {options.name!r}.")
    _print(schedule, options)
    return 0


def _put(app: App, options: argparse.Namespace) -> int:
    schedule = app.schedules.put(
        options.name,
        app.wiring().tasks.get(options.task),
        args=_json("--args", options.args, list),
        kwargs=_json("--kwargs", options.kwargs, dict),
        cron=options.cron,
        interval=options.interval,
        at=options.at,
        time_zone=options.time_zone,
        until=options.until,
        overlap=options.overlap,
        grace=options.grace,
        cron_name=options.cron_name,
    )
    _print(schedule, options)
    return 0


def _change(app: App, options: argparse.Namespace) -> int:
    """Pause, resume or delete all that are named; continue after errors of single ones."""
    names = list(dict.fromkeys(options.names))
    question = f"Delete {len(names)} schedules for good?"
    if options.schedules == "delete" and not is_agreed(question, yes=options.yes):
        return 1
    status, results = 0, []
    for name in names:
        try:
            result = _changed(app.schedules, options.schedules, name)
        except AdjournError as error:
            complain(error)
            status = 1
            continue
        results.append({"name": name, "status": result})
        if not options.json:
            say(f"{name} is {result}")
    if options.json:
        print_json({"schedules": results})
    return status


def _changed(schedules: Schedules, action: str, name: str) -> str:
    if action == "delete":
        if not schedules.delete(name):
            raise UnknownNameError(f"There is no schedule {name!r}.")
        return "deleted"
    change = schedules.pause if action == "pause" else schedules.resume
    return change(name).status


_COMMANDS = {
    "list": _list,
    "show": _show,
    "put": _put,
    "pause": _change,
    "resume": _change,
    "delete": _change,
}


def _instant(text: str) -> dt.datetime:
    """Parse a time in ISO 8601, with its offset."""
    try:
        instant = dt.datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.utcoffset() is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 2027-01-01T08:00:00+01:00")
    return instant


def _json(option: str, text: str, wanted: type) -> Any:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{option} {text} is not JSON: {error}.") from None
    if not isinstance(value, wanted):
        example = "[42]" if wanted is list else '{"language": "de"}'
        raise UsageError(f"{option} {text} must be like {example}.")
    return value


def _summary(schedule: Schedule) -> Mapping[str, str | None]:
    return {
        "name": schedule.name,
        "task": schedule.task,
        "timing": schedule.timing,
        "status": schedule.status,
        "last": iso(schedule.last_due),
        "next": iso(schedule.next_due),
    }


def _record(schedule: Schedule) -> Mapping[str, object]:
    kwargs = {name: repr(value) for name, value in schedule.kwargs.items()}
    return {
        **_summary(schedule),
        "args": [repr(each) for each in schedule.args],
        "kwargs": kwargs,
        "error": schedule.error or None,
        "until": iso(schedule.until),
        "cron_name": schedule.cron_name,
        "last_task": schedule.last_task or None,
        "put_at": iso(schedule.put_at),
    }


def _print(schedule: Schedule, options: argparse.Namespace) -> None:
    fields = dict(_record(schedule))
    if options.json:
        print_json(fields)
        return
    call = call_text(schedule.task, schedule.args, schedule.kwargs)
    del fields["args"], fields["kwargs"]
    fields["call"] = fields.pop("error") or call
    say("\n".join(field_lines(fields, 12)))


def _table(schedules: Sequence[Schedule]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in _summary(schedules[0]):
        table.add_column(name, no_wrap=name in {"status", "last", "next"}, overflow="fold")
    for each in schedules:
        table.add_row(*(plain(cell or "-") for cell in _summary(each).values()))
    return table
