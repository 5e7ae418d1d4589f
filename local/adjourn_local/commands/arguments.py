"""Arguments that several subcommands take, and what is wrong with them."""

import argparse
import datetime as dt
import re

_UNITS = {
    "s": dt.timedelta(seconds=1),
    "m": dt.timedelta(minutes=1),
    "h": dt.timedelta(hours=1),
    "d": dt.timedelta(days=1),
    "w": dt.timedelta(weeks=1),
}


class UsageError(Exception):
    """The command was called wrongly; the message says how to call it."""


def count(text: str) -> int:
    """Read a whole number from 1."""
    if not re.fullmatch("[1-9][0-9]{0,8}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


def duration(text: str) -> dt.timedelta:
    """Read a time such as 90s, 5m, 2h, 7d or 2w."""
    if not re.fullmatch("[0-9]{1,6}[smhdw]", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 90s, 5m, 2h, 7d or 2w")
    return int(text[:-1]) * _UNITS[text[-1]]
