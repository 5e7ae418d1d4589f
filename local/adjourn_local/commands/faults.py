"""The commands `adjourn faults`: show and change the faults that a running stack injects."""

import argparse

from adjourn_local.clients.stack_control import FAULTS_PATH
from adjourn_local.commands import Add
from adjourn_local.commands.arguments import add_stack, stack_control
from adjourn_local.commands.output import print_json, say

_METHODS = {"show": "GET", "set": "PUT", "off": "DELETE"}


def add(add: Add) -> None:
    """Declare the commands and their options."""
    parser = add("faults", help="show or change the faults that a running laptop stack injects")
    parser.set_defaults(run=run, spec="")
    actions = parser.add_subparsers(required=True, metavar="action", dest="faults")
    shown = actions.add_parser("show", help="show the faults, and how often each was injected")
    changed = actions.add_parser("set", help="inject these faults from now on, and no others")
    changed.add_argument(
        "spec", help="as for `adjourn up --faults`, such as duplicates=0.05,errors=0.05,seed=7"
    )
    ended = actions.add_parser("off", help="inject no more faults")
    for each in (shown, changed, ended):
        add_stack(each)


def run(options: argparse.Namespace) -> int:
    """Carry out one of the commands and return the exit status.

    Raises:
        UsageError: The stack rejects the faults, or the URL is not a laptop stack's.
        ControlError: No stack answers.
    """
    state = stack_control(options).ask(FAULTS_PATH, _METHODS[options.faults], options.spec)
    if options.json:
        print_json(state)
        return 0
    counts = ", ".join(f"{name} {count:,}" for name, count in sorted(state["injected"].items()))
    say(f"faults    {state['faults']}\ninjected  {counts or 'none'}")
    return 0
