"""The command `adjourn indexes`: the composite indexes that queries on a stack have needed."""

import argparse
from pathlib import Path

from adjourn_local.clients.stack_control import INDEXES_PATH
from adjourn_local.commands import Add
from adjourn_local.commands.arguments import add_stack, stack_control
from adjourn_local.commands.output import print_json, say
from adjourn_local.datastore import CompositeIndex, IndexNeed
from adjourn_local.datastore.needed_indexes import terraform, yaml
from adjourn_local.packaging.declared_indexes import declared


def add(add: Add) -> None:
    """Declare the command and its options."""
    parser = add("indexes", help="print the composite indexes that queries on a stack have needed")
    parser.set_defaults(run=run)
    parser.add_argument(
        "--declared",
        type=Path,
        action="append",
        metavar="PATH",
        help="index.yaml, a Terraform file, folder or plan: tell what of it is missing, and what"
        " was never used; may be repeated (default: what `up --require-indexes` has read)",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--yaml", action="store_true", help="print the text of index.yaml alone")
    form.add_argument("--terraform", action="store_true", help="print the Terraform text alone")
    add_stack(parser)


def run(options: argparse.Namespace) -> int:
    """Print the indexes and return the exit status: 1 if a declared set lacks one.

    Raises:
        UsageError: What declares indexes cannot be read, or the URL is not a laptop stack's.
        ControlError: No stack answers.
    """
    state = stack_control(options).ask(INDEXES_PATH)
    needed = [CompositeIndex.read(each) for each in state["needed"]]
    needs = [IndexNeed.read(each) for each in state["needs"]]
    known = state["declared"] and [CompositeIndex.read(each) for each in state["declared"]]
    known = declared(options.declared) if options.declared else known
    missing = [] if known is None else sorted({n.index for n in needs if not n.is_met_by(known)})
    unused = [each for each in known or () if not any(need.can_use(each) for need in needs)]
    if options.json:
        parts = {"needed": needed, "missing": missing, "unused": unused}
        print_json({name: [index.written() for index in each] for name, each in parts.items()})
    else:
        _say(needed, missing, unused, options)
    return 1 if missing else 0


def _say(
    needed: list[CompositeIndex],
    missing: list[CompositeIndex],
    unused: list[CompositeIndex],
    options: argparse.Namespace,
) -> None:
    as_yaml = "indexes:\n" + "".join(map(yaml, needed)) if needed else "indexes: []\n"
    if options.yaml or options.terraform:
        print(as_yaml if options.yaml else terraform(needed), end="")
        return
    say(f"Composite indexes that queries have needed: {len(needed)}")
    if needed:
        say(f"\nfor the Terraform module:\n\n{terraform(needed)}")
        say(f"as index.yaml:\n\n{as_yaml}")
    for title, indexes in (("Not declared", missing), ("Declared, but never used", unused)):
        if indexes:
            say(f"{title}:\n{''.join(map(yaml, indexes))}")
