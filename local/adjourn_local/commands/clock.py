"""The commands `adjourn clock`: show and change the clock of a running laptop stack."""

import argparse
import datetime as dt

from adjourn_local.clients.stack_control import CLOCK_PATH
from adjourn_local.commands import Add
from adjourn_local.commands.arguments import add_stack, stack_control
from adjourn_local.commands.output import iso, print_json, say

_VERBS = {
    "show": "show the time",
    "freeze": "stop the clock",
    "go": "let a frozen clock run again",
    "advance": "move the clock forward",
    "jump": "set the clock to a time, also backwards",
    "reset": "follow the machine's time again",
}
_VALUES = {
    "advance": ("duration", "such as 90s, 5m, 4h or 7d"),
    "jump": ("time", "with a time zone, such as 2026-12-24T18:00:00Z"),
}
_SECOND = dt.timedelta(seconds=1)


def add(add: Add) -> None:
    """Declare the commands and their options."""
    parser = add("clock", help="show or change the clock of a running laptop stack")
    parser.set_defaults(run=run, value="")
    actions = parser.add_subparsers(required=True, metavar="action", dest="clock")
    for verb, help_ in _VERBS.items():
        action = actions.add_parser(verb, help=help_)
        if verb in _VALUES:
            name, example = _VALUES[verb]
            action.add_argument("value", metavar=name, help=example)
        add_stack(action)


def run(options: argparse.Namespace) -> int:
    """Carry out one of the commands and return the exit status.

    Raises:
        UsageError: The stack rejects the value, or the URL is not a laptop stack's.
        ControlError: No stack answers.
    """
    text = f"{options.clock}={options.value}" if options.value else options.clock
    method = "GET" if options.clock == "show" else "PUT"
    state = stack_control(options).ask(CLOCK_PATH, method, text)
    if options.json:
        print_json(state)
        return 0
    now = dt.datetime.fromisoformat(state["now"])
    say(f"{iso(now)}, {_ahead(now)}" + (", frozen" if state["frozen"] else ""))
    return 0


def _ahead(now: dt.datetime) -> str:
    """Describe how far the stack's time is from this machine's."""
    ahead = now - dt.datetime.now(dt.UTC)
    if abs(ahead) < _SECOND:
        return "the machine's time"
    seconds = dt.timedelta(seconds=round(abs(ahead).total_seconds()))
    return f"{seconds} {'ahead of' if ahead > dt.timedelta() else 'behind'} the machine's"
