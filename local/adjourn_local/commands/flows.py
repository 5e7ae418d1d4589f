"""The commands `adjourn flows`: the flows of the deployment that the environment names."""

import argparse
import os
from collections.abc import Callable
from dataclasses import asdict

from rich.table import Table

from adjourn.errors import DeclarationError
from adjourn.flow.control import Flows, FlowView
from adjourn.gcp import google_adapters
from adjourn.settings import Settings
from adjourn_local.commands import Add
from adjourn_local.commands.arguments import count
from adjourn_local.commands.deployment import check_emulators
from adjourn_local.commands.output import console, field_lines, plain, print_json, say, text_of
from adjourn_local.errors import UsageError

_ALL = "(all keys)"


def add(add: Add) -> None:
    """Declare the commands and their options."""
    parser = add("flows", help="watch, pause and change the limits of calls")
    parser.set_defaults(run=run)
    actions = parser.add_subparsers(required=True, metavar="action", dest="flows")
    found = actions.add_parser("list", help="list the keys, those with the most waiting first")
    found.add_argument("flow", nargs="?", help="only those of this flow")
    found.add_argument(
        "--limit", type=count, default=50, help="the largest number to list (default: %(default)s)"
    )
    found.add_argument("--json", action="store_true", help="print JSON")
    for name, help_ in (
        ("show", "show who runs and who waits"),
        ("pause", "let no more calls begin; they wait"),
        ("resume", "undo a pause"),
        ("limit", "change a limit without a deployment"),
    ):
        action = actions.add_parser(name, help=help_)
        action.add_argument("flow", help="name of the flow, such as that of its task")
        action.add_argument("--key", help="a key of it (default: the flow as a whole)")
        if name == "show":
            action.add_argument("--json", action="store_true", help="print JSON")
        if name == "limit":
            action.add_argument(
                "--concurrency", type=count, metavar="N", help="so many calls may run at once"
            )
            action.add_argument("--rate", default="", help='so many may begin, such as "10/s"')
            action.add_argument(
                "--burst", type=count, metavar="N", help="so many may begin at once"
            )
            action.add_argument("--reset", action="store_true", help="as it is declared")


def run(options: argparse.Namespace) -> int:
    """Carry out one of the commands and return the exit status.

    Raises:
        UsageError: The options contradict each other.
        AdjournError: A setting is invalid, or a service cannot be reached.
    """
    check_emulators("DATASTORE_EMULATOR_HOST")
    settings = Settings.from_env(os.environ)
    flows = Flows(adapters=google_adapters(settings, None), settings=settings)
    command: Callable[[Flows, argparse.Namespace], None] = _COMMANDS[options.flows]
    command(flows, options)
    return 0


def _list(flows: Flows, options: argparse.Namespace) -> None:
    found = sorted(flows.find(options.flow), key=lambda view: -view.waiting)
    shown = found[: options.limit]
    if options.json:
        print_json([asdict(view) for view in shown])
    elif shown:
        console().print(_table(shown))
        if len(found) > len(shown):
            say(f"{len(found) - len(shown)} more; show them with --limit.")
    else:
        say("No flows.")


def _show(flows: Flows, options: argparse.Namespace) -> None:
    view = flows.get(options.flow, options.key)
    if options.json:
        print_json(asdict(view))
        return
    say("\n".join(field_lines(asdict(view), 15, _text)))


def _pause(flows: Flows, options: argparse.Namespace) -> None:
    flows.pause(options.flow, options.key)
    say(f"{_named(options)} is paused; what is called now waits.")


def _resume(flows: Flows, options: argparse.Namespace) -> None:
    flows.resume(options.flow, options.key)
    say(f"{_named(options)} goes on.")


def _limit(flows: Flows, options: argparse.Namespace) -> None:
    if options.reset == bool(options.concurrency or options.rate or options.burst):
        raise UsageError("Give limits (--concurrency, --rate, --burst) or --reset.")
    try:
        flows.limit(
            options.flow,
            options.key,
            concurrency=options.concurrency,
            rate=options.rate,
            burst=options.burst,
        )
    except DeclarationError as error:
        raise UsageError(str(error)) from None
    say(f"{_named(options)} has its limit, from the next call that begins or ends.")


_COMMANDS = {
    "list": _list,
    "show": _show,
    "pause": _pause,
    "resume": _resume,
    "limit": _limit,
}


def _named(options: argparse.Namespace) -> str:
    return f"{options.flow}" if options.key is None else f"{options.flow}, key {options.key!r},"


def _table(views: list[FlowView]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("flow", "key", "running", "waiting", "limits", "set live"):
        table.add_column(name, overflow="fold")
    for view in views:
        cells = (
            view.flow,
            _ALL if view.key is None else view.key or "-",
            str(view.running),
            str(view.waiting),
            view.limits or "-",
            _live(view),
        )
        table.add_row(*map(plain, cells))
    return table


def _live(view: FlowView) -> str:
    parts = (
        f"concurrency={view.concurrency}" if view.concurrency else "",
        f"rate={view.rate}" if view.rate else "",
        f"burst={view.burst}" if view.burst else "",
        "paused" if view.is_paused else "",
    )
    return " ".join(filter(None, parts)) or "-"


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "-"
    return text_of(value)
