"""Arguments that several subcommands share."""

import argparse
import datetime as dt
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from adjourn.settings import LOOPBACK, is_safe_url
from adjourn_local.clients.stack_control import StackControl
from adjourn_local.commands.deployment import add_stack_port, find_running
from adjourn_local.errors import UsageError
from adjourn_local.http.gate import host_name
from adjourn_local.timing.durations import parse_duration

_DEFAULT_STACK = "http://127.0.0.1:8711"


def count(text: str) -> int:
    """Parse a whole number of at least 1."""
    if not re.fullmatch("[1-9][0-9]{0,8}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


def record_id(text: str) -> str:
    """Parse the id of a dead letter or run; an empty one is most likely an unset variable."""
    if not text:
        raise argparse.ArgumentTypeError("an id is empty")
    return text


def duration(text: str) -> dt.timedelta:
    """Parse a duration such as 90s, 5m, 2h, 7d or 2w."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_application(parser: argparse.ArgumentParser) -> None:
    """Add the argument for an application, and `--source`."""
    parser.add_argument("app", help="the application, as package.module:app or file.py:app")
    parser.add_argument(
        "--source",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="the folder from which the application is imported (default: the current one)",
    )


def add_allowed_hosts(parser: argparse.ArgumentParser) -> None:
    """Add `--allow-host`."""
    parser.add_argument(
        "--allow-host",
        type=_host,
        action="append",
        default=[],
        metavar="NAME",
        help="a name, besides localhost, under which the HTTP ports are used, such as"
        " host.docker.internal; may be repeated",
    )


def _host(text: str) -> str:
    name = host_name(text)
    if name is None or name != text.lower():
        raise argparse.ArgumentTypeError(f"{text} is not the name of a host, without a port")
    return name


def add_ages(parser: argparse.ArgumentParser) -> None:
    """Add `--older` and `--newer`."""
    for name in ("older", "newer"):
        parser.add_argument(
            f"--{name}",
            type=duration,
            metavar="AGE",
            help=f"only those {name} than AGE, such as 90s, 5m, 2h, 7d",
        )


def age_range(
    options: argparse.Namespace, now: dt.datetime
) -> tuple[dt.datetime | None, dt.datetime | None]:
    """Return the earliest and the latest creation time that `--newer` and `--older` allow."""
    since = now - options.newer if options.newer is not None else None
    return since, now - options.older if options.older is not None else None


def add_stack(parser: argparse.ArgumentParser) -> None:
    """Add `--stack` and `--url` of a running stack, and `--json`."""
    add_stack_port(parser)
    parser.add_argument(
        "--url",
        help="the URL of its HTTP port (default: that of the stack which runs here, else of"
        f" ADJOURN_KEYS_URL, else {_DEFAULT_STACK})",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def stack_control(options: argparse.Namespace) -> StackControl:
    """Return the control of the stack that the options or the environment name.

    Raises:
        UsageError: The URL is not the address of a laptop stack, or several stacks run here.
    """
    stack = None if options.url else find_running(options)
    url = stack.url if stack else options.url or os.environ.get("ADJOURN_KEYS_URL", _DEFAULT_STACK)
    parts = urlsplit(url) if is_safe_url(url) else None
    if parts is None or parts.scheme != "http" or parts.hostname not in LOOPBACK:
        raise UsageError(f"{url} is not the address of a laptop stack, such as {_DEFAULT_STACK}.")
    return StackControl(f"{parts.scheme}://{parts.netloc}")
