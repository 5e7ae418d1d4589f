"""The commands `adjourn cron`: an application's periodic functions and Cloud Scheduler's jobs."""

import argparse
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from rich.table import Table

from adjourn.app import App
from adjourn.cron.forecast import upcoming
from adjourn.cron.jobs import differences
from adjourn.cron.periodic import Periodic
from adjourn.cron.states import set_paused
from adjourn.cron.tick import PeriodicStatus
from adjourn.errors import SchedulerError
from adjourn.ports import Job
from adjourn.ports.job_scheduler import PAUSED
from adjourn_local.commands import Add
from adjourn_local.commands.application import add_app, chosen, import_app
from adjourn_local.commands.arguments import count
from adjourn_local.commands.deployment import check_emulators
from adjourn_local.commands.output import console, iso, plain, print_json, say
from adjourn_local.errors import UsageError


def add(add: Add) -> None:
    """Declare the commands and their options."""
    parser = add("cron", help="inspect periodic functions, run one, compare them with the jobs")
    parser.set_defaults(run=run)
    actions = parser.add_subparsers(required=True, metavar="action", dest="cron")
    shared = argparse.ArgumentParser(add_help=False)
    add_app(shared)
    shared.add_argument("--json", action="store_true", help="print JSON")
    actions.add_parser("list", parents=[shared], help="show when each ran last and is due next")
    next_ = actions.add_parser("next", parents=[shared], help="show when they will be due")
    next_.add_argument("name", nargs="?", help="only this one")
    next_.add_argument(
        "--count", type=count, default=5, help="number of due times for each (default: %(default)s)"
    )
    run_ = actions.add_parser("run", parents=[shared], help="run one now, once, as a task")
    run_.add_argument("name", help="its name, as `list` shows it")
    actions.add_parser(
        "diff", parents=[shared], help="compare cron names with Cloud Scheduler; 1 if they differ"
    )

    for name, help_ in (
        ("pause", "pause the jobs of a cron name, whose slots wait; or one function, without"),
        ("resume", "let the jobs of a cron name call again; or one function run again"),
        ("trigger", "let the jobs of a cron name call now"),
    ):
        change = actions.add_parser(name, parents=[shared], help=help_)
        what = "a cron name" if name == "trigger" else "a cron name or a function"
        change.add_argument("cron_name", metavar="name", help=f"{what}, as `list` has it")


def run(options: argparse.Namespace) -> int:
    """Carry out one of the commands and return the exit status.

    Raises:
        UsageError: There is no such function.
        AdjournError: A setting or the application is invalid, or a service cannot be reached.
    """
    command: Callable[[App, argparse.Namespace], int] = _COMMANDS[options.cron]
    return command(import_app(*chosen(options)), options)


def _list(app: App, options: argparse.Namespace) -> int:
    cron = app.wiring().cron
    now = cron.clock.now()
    rows = [_summary(cron.status(each), now) for each in _sorted(app)]
    if options.json:
        print_json({"periodic": rows})
    else:
        _print(rows, "No periodic functions, or methods without a registered object.")
    return 0


def _next(app: App, options: argparse.Namespace) -> int:
    cron = app.wiring().cron
    now = cron.clock.now()
    chosen = [_one(app, options.name)] if options.name else _sorted(app)
    rows = []
    for each in chosen:
        times = islice(upcoming(each.timing, cron.status(each).state, now), options.count)
        rows += [{"due": iso(at), "name": each.name, "cron_name": _cron(each)} for at in times]
    rows.sort(key=lambda row: row["due"] or "")
    if options.json:
        print_json({"now": iso(now), "due": rows})
    else:
        _print(rows, "No periodic function has due times.")
    return 0


def _run(app: App, options: argparse.Namespace) -> int:
    check_emulators("CLOUDTASKS_EMULATOR_HOST", "DATASTORE_EMULATOR_HOST")
    handle = app.wiring().cron.run(_one(app, options.name))
    if options.json:
        print_json({"task": handle.name, "id": handle.id, "queue": handle.queue})
    else:
        say(f"{options.name} is now {handle.name}")
    return 0


def _diff(app: App, options: argparse.Namespace) -> int:
    settings = app.wiring().settings
    declared = app.cron_names()
    check_emulators("CLOUDSCHEDULER_EMULATOR_HOST")
    found = app.wiring().adapters.jobs.list()
    different = [each.text for each in differences(found, declared, settings)]
    if options.json:
        print_json(
            {
                "declared": sorted(declared),
                "jobs": [_told(job) for job in found],
                "differences": different,
            }
        )
    else:
        no_difference = f"{len(declared)} cron names, {len(found)} jobs, no difference."
        say("\n".join(different) or no_difference)
    return 1 if different else 0


def _change(app: App, options: argparse.Namespace) -> int:
    """Pause, resume or trigger the jobs of a cron name; or pause or resume one function."""
    is_cron_name = options.cron_name in app.cron_names() or options.cron == "trigger"
    functions = [] if is_cron_name else [p for p in _sorted(app) if p.name == options.cron_name]
    if functions:
        return _change_function(app, functions[0], options)
    check_emulators("CLOUDSCHEDULER_EMULATOR_HOST")
    scheduler = app.wiring().adapters.jobs
    chosen = [job for job in scheduler.list() if job.cron_name == options.cron_name]
    if not chosen:
        known = ", ".join(sorted({job.cron_name for job in scheduler.list()})) or "none"
        raise UsageError(f"No job calls the cron name {options.cron_name!r}; called are: {known}.")
    paused = ", ".join(job.name for job in chosen if job.state == PAUSED)
    if options.cron == "trigger" and paused:
        fix = f"`adjourn cron resume {options.cron_name}`"
        raise SchedulerError(f"A paused job cannot be triggered: {paused}; first {fix}.")
    change = {"pause": scheduler.pause, "resume": scheduler.resume, "trigger": scheduler.run}
    changed = [change[options.cron](job.name) for job in chosen]
    if options.json:
        print_json({"jobs": [_told(job) for job in changed]})
    else:
        for job in changed:
            say(f"The job {job.name}, {job.schedule}, {_CHANGED[options.cron]}")
    return 0


def _change_function(app: App, periodic: Periodic, options: argparse.Namespace) -> int:
    check_emulators("DATASTORE_EMULATOR_HOST")
    cron, is_paused = app.wiring().cron, options.cron == "pause"
    is_changed = set_paused(cron.store, periodic, cron.clock.now(), is_paused=is_paused)
    if options.json:
        print_json({"name": periodic.name, "paused": is_paused, "changed": is_changed})
    else:
        state = (
            "is paused: its slots are left out" if is_paused else "runs again with its next slot"
        )
        say(f"{periodic.name} {state}{'.' if is_changed else ', as before.'}")
    return 0


_CHANGED = {"pause": "is paused.", "resume": "calls again.", "trigger": "calls now."}
_COMMANDS = {
    "list": _list,
    "next": _next,
    "run": _run,
    "diff": _diff,
    "pause": _change,
    "resume": _change,
    "trigger": _change,
}


def _told(job: Job) -> Mapping[str, Any]:
    times = {"last_attempt": iso(job.last_attempt), "next_start": iso(job.next_start)}
    return job._asdict() | times


def _sorted(app: App) -> Sequence[Periodic]:
    return sorted(app.wiring().cron.periodics(), key=lambda each: (_cron(each), each.name))


def _one(app: App, name: str) -> Periodic:
    names = {each.name: each for each in _sorted(app)}
    if name not in names:
        known = ", ".join(names) or "none"
        raise UsageError(f"No periodic function is named {name!r}; there are: {known}.")
    return names[name]


def _cron(periodic: Periodic) -> str:
    return periodic.timing.cron_name


def _summary(status: PeriodicStatus, now: dt.datetime) -> Mapping[str, str | None]:
    timing, state = status.periodic.timing, status.state
    ran = state.slot if state and state.task else None
    return {
        "name": status.periodic.name,
        "cron_name": timing.cron_name,
        "timing": timing.text,
        "last": iso(ran),
        "state": _state(status),
        "next": iso(next(upcoming(timing, state, now), None)),
    }


def _state(status: PeriodicStatus) -> str:
    if status.state is not None and status.state.is_paused:
        return "paused"
    if status.state is not None and not status.state.is_enqueued:
        return "not enqueued"
    if status.task is None:
        return "ended" if status.state and status.state.task else "never ran"
    return f"attempt {status.task.attempts}" if status.task.attempts else "queued"


def _print(rows: Sequence[Mapping[str, str | None]], nothing: str) -> None:
    if not rows:
        say(nothing)
        return
    table = Table(box=None, pad_edge=False)
    for name in rows[0]:
        table.add_column(name.replace("_", " "), no_wrap=name != "name", overflow="fold")
    for row in rows:
        table.add_row(*(plain(cell or "-") for cell in row.values()))
    console().print(table)
