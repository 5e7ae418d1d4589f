"""The commands `adjourn faults`: what goes wrong with the deliveries of a running laptop stack."""

import argparse

from adjourn_local.commands import Add
from adjourn_local.commands.controls import add_stack, controls
from adjourn_local.commands.output import print_json, say
from adjourn_local.runtime.control import FAULTS_PATH

_METHODS = {"show": "GET", "set": "PUT", "off": "DELETE"}


def add(add: Add) -> None:
    """Declare the commands and their options."""
    parser = add("faults", help="tell or change what goes wrong on a running laptop stack")
    parser.set_defaults(run=run, spec="")
    actions = parser.add_subparsers(required=True, metavar="action", dest="faults")
    shown = actions.add_parser("show", help="tell what goes wrong, and how often it has")
    changed = actions.add_parser("set", help="let these go wrong from now on, and no others")
    changed.add_argument(
        "spec", help="as for `adjourn up --faults`, such as duplicates=0.05,errors=0.05,seed=7"
    )
    ended = actions.add_parser("off", help="let nothing go wrong any more")
    for each in (shown, changed, ended):
        add_stack(each)


def run(options: argparse.Namespace) -> int:
    """Carry out one of the commands and return the exit status.

    Raises:
        UsageError: The stack cannot read it, or the address is none.
        ControlError: No stack answers.
    """
    told = controls(options).ask(FAULTS_PATH, _METHODS[options.faults], options.spec)
    if options.json:
        print_json(told)
        return 0
    counts = ", ".join(f"{name} {count:,}" for name, count in sorted(told["injected"].items()))
    say(f"faults    {told['faults']}\ninjected  {counts or 'none'}")
    return 0
