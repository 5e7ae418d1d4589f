"""The command `adjourn doctor`: what is wrong with a deployment, and what mends it."""

import argparse
from dataclasses import asdict

from adjourn_local.commands import Add
from adjourn_local.commands.application import add_app, chosen, import_app
from adjourn_local.commands.output import print_json, say
from adjourn_local.doctor.examination import examine
from adjourn_local.doctor.finding import Finding, State


def add(add: Add) -> None:
    """Declare the command and its options."""
    parser = add("doctor", help="find what is wrong with the deployment; 1 if something is")
    add_app(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print what is found and return the exit status."""
    found = []
    named, folder = chosen(options)
    for finding in examine(lambda: import_app(named, folder), folder):
        found.append(finding)
        if not options.json:
            say(line(finding))
    if options.json:
        print_json({"findings": [asdict(each) for each in found]})
    return 1 if any(each.state is State.FAULT for each in found) else 0


def line(finding: Finding) -> str:
    """Return a finding as one line of text."""
    fix = f" Fix: {finding.fix}" if finding.fix else ""
    return f"{finding.state.value:<10} {finding.subject}: {finding.text}{fix}"
