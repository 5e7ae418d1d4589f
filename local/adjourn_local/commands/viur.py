"""The command `adjourn viur check`: what of a ViUR project behaves differently on adjourn."""

import argparse
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from adjourn_local.commands import Add
from adjourn_local.commands.output import say
from adjourn_local.errors import UsageError
from adjourn_local.viur_check.finding import Finding, Weight
from adjourn_local.viur_check.project import findings, sources


def add(add: Add) -> None:
    """Declare the command and its options."""
    viur = add("viur", help="help a ViUR project to move")
    actions = viur.add_subparsers(required=True, metavar="action")
    check = actions.add_parser(
        "check",
        help="say line by line what will behave differently; 1 if something must be changed",
    )
    check.add_argument("path", type=Path, help="folder of the project's source, or one file")
    check.add_argument(
        "--viur",
        metavar="VERSION",
        default=None,
        help="the version of ViUR that the project uses, such as 3.7 (default: the installed one)",
    )
    check.set_defaults(run=_check)


def _check(options: argparse.Namespace) -> int:
    if not options.path.exists():
        raise UsageError(f"{options.path} does not exist.")
    version_used = _version(options.viur)
    if not any(sources(options.path)):
        raise UsageError(f"{options.path} has no Python files.")
    found = list(findings(options.path, version_used))
    for each in found:
        say(_line(each))
    must = sum(each.weight is Weight.CHANGE for each in found)
    say(f"{must} to change, {len(found) - must} to know")
    return 1 if must else 0


def _version(named: str | None) -> tuple[int, int] | None:
    try:
        text = named or version("viur-core")
    except PackageNotFoundError:
        return None
    major, _, rest = text.partition(".")
    minor = rest.partition(".")[0] or "0"
    if not (major.isdecimal() and minor.isdecimal()):
        raise UsageError(f"--viur {text!r} is not a version such as 3.7.")
    return int(major), int(minor)


def _line(finding: Finding) -> str:
    return f"{finding.file}:{finding.line}: {finding.weight.value} [{finding.rule}] {finding.text}"
