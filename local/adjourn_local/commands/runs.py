"""The commands `adjourn runs`: the iterations of the deployment that the environment names."""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

from adjourn.errors import EnqueueError, UnknownNameError
from adjourn.gcp import google_adapters
from adjourn.iteration.control import Runs
from adjourn.iteration.progress import RunState
from adjourn.iteration.run_handle import RunHandle
from adjourn.iteration.status import Status
from adjourn.settings import Settings
from adjourn_local.commands import Add, run_start
from adjourn_local.commands.arguments import add_ages, age_range, count, record_id
from adjourn_local.commands.deployment import check_emulators
from adjourn_local.commands.output import console, is_agreed, print_json, say
from adjourn_local.commands.run_display import (
    Show,
    answers,
    pace,
    show_live,
    show_plain,
    show_records,
    title,
)
from adjourn_local.commands.run_tables import cell, record, shard_table, summary, table
from adjourn_local.errors import UsageError
from adjourn_local.terminal import complain


class _Control(NamedTuple):
    """A command that changes runs.

    Attributes:
        change: What it does with a run.
        possible: The statuses that a run may have for it.
        wanted: The statuses that mean success.
        help: What the help says.
    """

    change: Callable[[RunHandle], bool]
    possible: set[Status]
    wanted: set[Status]
    help: str


_CONTROLS = {
    "pause": _Control(
        RunHandle.pause,
        {Status.STARTING, Status.RUNNING},
        {Status.PAUSING, Status.PAUSED},
        "pause runs once their current steps have ended",
    ),
    "resume": _Control(
        RunHandle.resume,
        {Status.PAUSING, Status.PAUSED},
        {Status.STARTING, Status.RUNNING, Status.FINISHING},
        "resume paused runs",
    ),
    "retry": _Control(
        RunHandle.retry,
        {Status.STOPPED},
        {Status.STARTING, Status.RUNNING, Status.FINISHING},
        "resume runs that an error has stopped",
    ),
    "cancel": _Control(
        RunHandle.cancel,
        {Status.STARTING, Status.RUNNING, Status.PAUSING, Status.PAUSED, Status.STOPPED},
        {Status.CANCELLING, Status.CANCELLED},
        "cancel runs for good",
    ),
}


def add(add: Add) -> None:
    """Declare the commands and their options."""
    parser = add("runs", help="inspect iterations, watch and control them")
    parser.set_defaults(run=run)
    actions = parser.add_subparsers(required=True, metavar="action", dest="runs")
    found = actions.add_parser("list", help="list them, the newest first")
    found.add_argument("--iteration", help="only those of this class, by its registered name")
    statuses = [each.value for each in Status]
    found.add_argument("--status", choices=statuses, help="only those with this status")
    add_ages(found)
    found.add_argument(
        "--limit", type=count, default=50, help="the largest number to list (default: %(default)s)"
    )
    shown = actions.add_parser("show", help="show everything about one")
    watched = actions.add_parser(
        "watch", help="follow one to its end; 0 if it finishes, 1 if it stops or is cancelled"
    )
    watched.add_argument(
        "--every", type=count, default=1, metavar="SECONDS", help="default: %(default)s"
    )
    for each in (shown, watched):
        each.add_argument("id", type=record_id)
    for each in (found, shown, watched):
        each.add_argument("--json", action="store_true", help="print JSON")
    shown.add_argument("--failures", action="store_true", help="list all entities that failed")
    rerun = actions.add_parser("rerun", help="start a run over what failed in another one")
    rerun.add_argument("--failed", action="store_true", required=True, help="what failed for good")
    rerun.add_argument("id")
    run_start.add(actions)
    paced = actions.add_parser("pace", help="change how fast one goes")
    paced.add_argument("id", type=record_id)
    paced.add_argument(
        "entities_per_second", type=_pace, help="at most so many in a second, or none for no limit"
    )
    for name, control in _CONTROLS.items():
        action = actions.add_parser(name, help=control.help)
        action.add_argument("ids", nargs="*", type=record_id, metavar="id")
        action.add_argument("--all", action="store_true", help=f"all runs that can {name}")
        action.add_argument("--iteration", help="all of this class, by its registered name")
        action.add_argument("--status", choices=statuses, help="all with this status")
        if name == "cancel":
            action.add_argument("--yes", action="store_true", help="do not ask")


def run(options: argparse.Namespace) -> int:
    """Carry out one of the commands and return the exit status.

    Raises:
        UsageError: No run is named, or there is no terminal to ask for confirmation.
        AdjournError: A setting is invalid, there is no such run, or a service cannot be reached.
    """
    if options.runs == "start":
        return run_start.run(options)
    check_emulators("DATASTORE_EMULATOR_HOST")
    adapters = google_adapters(Settings.from_env(os.environ), None)
    runs = Runs(adapters=adapters)
    command: Callable[[Runs, argparse.Namespace], int] = _COMMANDS.get(options.runs, _control)
    return command(runs, options)


def _list(runs: Runs, options: argparse.Namespace) -> int:
    since, before = age_range(options, runs.now())
    status = Status(options.status) if options.status else None
    found = runs.find(iteration=options.iteration, status=status, since=since, before=before)
    states = list(islice(found, options.limit))
    # Only one more is read: reading a run reads all its shards.
    more = next(found, None) is not None
    if options.json:
        print_json({"runs": [summary(state) for state in states], "more": more})
    elif states:
        console().print(table(states))
        if more:
            say("There are more; show them with --limit.")
    else:
        say("No runs.")
    return 0


def _show(runs: Runs, options: argparse.Namespace) -> int:
    state = _state(runs, options.id)
    if options.json:
        print_json(record(state))
        return 0
    fields = {**summary(state), "iteration": title(state), "pace": pace(state)}
    del fields["dry_run"]
    most = fields.pop("entities_per_second")
    fields["at most"] = None if most is None else f"{most:g}/s"
    say("\n".join(f"{name.replace('_', ' '):<13} {cell(value)}" for name, value in fields.items()))
    say("")
    console().print(shard_table(state.shards))
    if state.dry_run is not None:
        say(f"would: {answers(state)}")
        for entity, answer in state.dry_run.samples:
            say(f"{entity}: {answer}")
    failures = runs.get(options.id).failures() if options.failures else state.failures
    for each in failures:
        say(f"{each.entry}: {each.message}")
    return 0


def _rerun(runs: Runs, options: argparse.Namespace) -> int:
    say(runs.get(options.id).rerun_failed().id)
    return 0


def _pace(text: str) -> float | None:
    """Parse a number of entities in a second, or `none`."""
    try:
        return None if text == "none" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number, nor none") from None


def _set_pace(runs: Runs, options: argparse.Namespace) -> int:
    handle, most = runs.get(options.id), options.entities_per_second
    if not handle.pace(most):
        return _failed(f"{options.id} is {runs.load(options.id).status}; it has no pace any more.")
    say(f"{options.id} goes as fast as it can" if most is None else f"{options.id}: {most:g}/s")
    return 0


def _watch(runs: Runs, options: argparse.Namespace) -> int:
    def states() -> Iterator[RunState]:
        state = _state(runs, options.id)
        while not state.has_ended:
            yield state
            time.sleep(options.every)
            state = _state(runs, options.id)
        yield state

    show: Show = show_plain
    if options.json:
        show = show_records(record)
    elif console().is_terminal:
        show = show_live
    return 0 if show(states()).status is Status.FINISHED else 1


def _control(runs: Runs, options: argparse.Namespace) -> int:
    """Apply the command to every run; continue after errors of single runs."""
    ids = _chosen(runs, options)
    if not ids:
        say("No runs.")
        return 0
    question = f"Cancel {len(ids)} runs for good?"
    if options.runs == "cancel" and not is_agreed(question, yes=options.yes):
        return 1
    control = _CONTROLS[options.runs]
    status = 0
    for run_id in ids:
        try:
            is_done = control.change(runs.get(run_id))
            found = runs.load(run_id).status
        except (EnqueueError, UnknownNameError) as error:
            status = _failed(str(error))
            continue
        if is_done or found in control.wanted:
            say(f"{run_id} is {found}")
        elif options.ids:  # and not chosen by a status that it no longer has
            status = _failed(f"{run_id} is {found}; there is nothing to {options.runs}.")
    return status


def _chosen(runs: Runs, options: argparse.Namespace) -> list[str]:
    """Return the ids of the runs that the command is for.

    Raises:
        UsageError: The options name none, or name some in two ways.
    """
    is_selection = options.all or options.iteration or options.status
    if bool(options.ids) is bool(is_selection):
        raise UsageError("Name runs by their ids, or choose them by --all, --iteration, --status.")
    if options.ids:
        return list(dict.fromkeys(options.ids))
    status = Status(options.status) if options.status else None
    found = runs.find(iteration=options.iteration, status=status)
    return [state.id for state in found if state.status in _CONTROLS[options.runs].possible]


_COMMANDS = {"list": _list, "show": _show, "watch": _watch, "rerun": _rerun, "pace": _set_pace}


def _state(runs: Runs, run_id: str) -> RunState:
    state = runs.state(run_id)
    if state is None:
        raise UnknownNameError(f"There is no run {run_id!r}.")
    return state


def _failed(text: str) -> int:
    complain(text)
    return 1
