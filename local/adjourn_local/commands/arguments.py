"""Arguments that several subcommands take, and what is wrong with them."""

import argparse
import datetime as dt
import re
from pathlib import Path

from adjourn_local.timing.durations import parse_duration


class UsageError(Exception):
    """The command was called wrongly; the message says how to call it."""


def count(text: str) -> int:
    """Read a whole number from 1."""
    if not re.fullmatch("[1-9][0-9]{0,8}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


def duration(text: str) -> dt.timedelta:
    """Read a duration such as 90s, 5m, 2h, 7d or 2w."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_application(parser: argparse.ArgumentParser) -> None:
    """Let a command take an application, and `--source`, from where it is imported."""
    parser.add_argument("app", help="the application, as package.module:app")
    parser.add_argument(
        "--source",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="the folder from which the application is imported (default: the current one)",
    )


def add_ages(parser: argparse.ArgumentParser) -> None:
    """Let a command take `--older` and `--newer`."""
    for name in ("older", "newer"):
        parser.add_argument(
            f"--{name}",
            type=duration,
            metavar="AGE",
            help=f"only those {name} than 90s, 5m, 2h, 7d",
        )


def made_between(
    options: argparse.Namespace, now: dt.datetime
) -> tuple[dt.datetime | None, dt.datetime | None]:
    """Return since when and before when what the options of `add_ages` leave was made."""
    since = now - options.newer if options.newer is not None else None
    return since, now - options.older if options.older is not None else None
