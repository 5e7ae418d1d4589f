"""The commands `adjourn export`: an application's queues and cron names for Terraform."""

import argparse
import os
import sys
from pathlib import Path

from adjourn.settings import is_queue
from adjourn_local.commands import Add
from adjourn_local.commands.application import import_app
from adjourn_local.commands.arguments import add_application
from adjourn_local.commands.output import say
from adjourn_local.errors import PackageError, UsageError
from adjourn_local.packaging.agreement import Names, removals, removed_functions
from adjourn_local.terminal import complain

DECLARED = Path("build") / "adjourn.auto.tfvars.json"


def add(add: Add) -> None:
    """Declare the commands and their options."""
    export = add(
        "export", help="write or check an application's queues and cron names for Terraform"
    )
    actions = export.add_subparsers(required=True, metavar="action")
    tfvars = actions.add_parser("tfvars", help="write cron_names and queue_names, as JSON")
    add_application(tfvars)
    tfvars.add_argument(
        "--queue",
        default=os.environ.get("ADJOURN_QUEUE") or "default",
        metavar="NAME",
        help="the queue of tasks that name none (default: ADJOURN_QUEUE, else default)",
    )
    tfvars.add_argument(
        "--output", type=Path, default=DECLARED, metavar="FILE", help="(default: %(default)s)"
    )
    tfvars.set_defaults(run=_tfvars)
    check = actions.add_parser(
        "check",
        help="fail if a Terraform plan lacks a queue or a cron name, or removes a protected queue",
    )
    check.add_argument(
        "plan", help="output of `terraform show -json`, as a file; - reads it from stdin"
    )
    check.add_argument(
        "--declared",
        type=Path,
        default=DECLARED,
        metavar="FILE",
        help="file that `adjourn export tfvars` has written (default: %(default)s)",
    )
    check.set_defaults(run=_check)


def _tfvars(options: argparse.Namespace) -> int:
    if not is_queue(options.queue):
        raise UsageError(f"--queue {options.queue!r} must be 1 to 100 letters, digits or hyphens.")
    names = Names.declared(import_app(options.app, options.source), options.queue)
    try:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(names.tfvars(), encoding="utf-8")
    except OSError as error:
        raise PackageError(f"{error.filename}: {error.strerror}.") from None
    say(f"{options.output}  ({len(names.queues)} queues, {len(names.crons)} cron names)")
    return 0


def _check(options: argparse.Namespace) -> int:
    try:
        is_piped = options.plan == "-"
        plan = sys.stdin.read() if is_piped else Path(options.plan).read_text(encoding="utf-8")
        declared = Names.exported(options.declared)
    except OSError as error:
        raise PackageError(f"{error.filename}: {error.strerror}.") from None
    where = "The input" if is_piped else str(options.plan)
    planned = Names.planned(plan, where)
    for sentence in [*declared.superfluous(planned), *removed_functions(plan, where)]:
        complain(f"Note: {sentence}")
    problems = {
        "The application uses what Terraform does not have:": declared.missing(planned),
        "The plan deletes queues with the tasks in them:": removals(plan, where),
    }
    for title, sentences in problems.items():
        if sentences:
            complain("\n- ".join([title, *sentences]))
    if any(problems.values()):
        return 1
    say("Terraform has every queue and cron name that the application uses.")
    return 0
