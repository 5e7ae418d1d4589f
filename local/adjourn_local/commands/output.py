"""Print the output of the subcommands, and ask for confirmation."""

import datetime as dt
import json
import sys
from collections.abc import Callable, Mapping

from rich.console import Console
from rich.text import Text

from adjourn_local.errors import UsageError
from adjourn_local.terminal import visible

# Output to a pipe is wide, so that each row is one line for grep.
_PIPED_WIDTH = 300
# A narrower terminal wraps the lines, which is easier to read than narrow columns.
_LEAST_WIDTH = 120


def print_json(value: object) -> None:
    """Print a value as JSON."""
    console().out(json.dumps(value, indent=2), highlight=False)


def iso(at: dt.datetime | None) -> str | None:
    """Format a time in ISO 8601, in UTC."""
    return None if at is None else at.astimezone(dt.UTC).isoformat(timespec="seconds")


def say(text: str) -> None:
    """Print a text."""
    console().print(plain(text), soft_wrap=True)


def console() -> Console:
    """Return a console that is wide enough for a row."""
    wide = Console()
    wide.width = max(wide.width, _LEAST_WIDTH) if wide.is_terminal else _PIPED_WIDTH
    return wide


def plain(text: str) -> Text:
    """Return a text with its control characters made visible, and without any markup."""
    return Text(visible(text))


def text_of(value: object) -> str:
    """Return a value as text; `-` if there is none."""
    return "-" if value is None or value == "" else str(value)


def field_lines(
    fields: Mapping[str, object], width: int, text: Callable[[object], str] = text_of
) -> list[str]:
    """Return a line for each field: its name in words, and its value as text.

    Args:
        fields: The fields.
        width: How many columns the names take.
        text: Returns the text of a value.
    """
    return [f"{name.replace('_', ' '):<{width}}{text(value)}" for name, value in fields.items()]


def is_agreed(question: str, *, yes: bool) -> bool:
    """Return whether the user confirms at the terminal; with `yes` nobody is asked.

    Raises:
        UsageError: There is no terminal.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError("There is no terminal to ask for confirmation; give --yes.")
    return console().input(plain(f"{question} [y/N] ")).strip().lower() in {"y", "yes"}
