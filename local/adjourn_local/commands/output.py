"""What the subcommands print, and how they ask."""

import datetime as dt
import json
import sys

from rich.console import Console
from rich.text import Text

from adjourn_local.commands.arguments import UsageError

# Where nobody sees a terminal's edge, a row is one line, for grep.
_PIPED_WIDTH = 300
# A narrower terminal breaks the lines itself, which is easier to read than narrower columns.
_LEAST_WIDTH = 120


def print_json(value: object) -> None:
    """Print a value as JSON, as it is."""
    console().out(json.dumps(value, indent=2), highlight=False)


def iso(moment: dt.datetime | None) -> str | None:
    """Return a time as JSON has it, in UTC."""
    return None if moment is None else moment.astimezone(dt.UTC).isoformat(timespec="seconds")


def say(text: str) -> None:
    """Print a text."""
    console().print(plain(text), soft_wrap=True)


def console() -> Console:
    """Return where to print, wide enough for a row."""
    wide = Console()
    wide.width = max(wide.width, _LEAST_WIDTH) if wide.is_terminal else _PIPED_WIDTH
    return wide


def plain(text: str) -> Text:
    """Return a text that cannot steer the terminal, whoever wrote it."""
    return Text("".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text))


def is_agreed(question: str, *, yes: bool) -> bool:
    """Whether the person at the terminal agrees, or `yes` says so.

    Raises:
        UsageError: There is nobody to ask.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError("There is no terminal to ask for confirmation; give --yes.")
    return console().input(f"{question} \\[y/N] ").strip().lower() in {"y", "yes"}
