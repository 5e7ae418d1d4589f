"""The command `adjourn`."""

import argparse
import asyncio
import datetime as dt
import json
import logging
import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from adjourn import AdjournError
from adjourn.app import load_app
from adjourn.errors import ConfigurationError, DeclarationError
from adjourn_local import dead
from adjourn_local.errors import StackError
from adjourn_local.stack import PROJECT, Stack

DEFAULT_PORT = 8710
FAILURE = 1
USAGE_ERROR = 2

_UNITS = {
    "s": dt.timedelta(seconds=1),
    "m": dt.timedelta(minutes=1),
    "h": dt.timedelta(hours=1),
    "d": dt.timedelta(days=1),
    "w": dt.timedelta(weeks=1),
}
_Add = Callable[..., argparse.ArgumentParser]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0 done, 1 failed, 2 wrongly called."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except (ConfigurationError, DeclarationError, StackError, dead.UsageError) as error:
        print(f"adjourn: {error}", file=sys.stderr)
        return USAGE_ERROR
    except AdjournError as error:
        print(f"adjourn: {error}", file=sys.stderr)
        return FAILURE
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="adjourn", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_up(commands.add_parser)
    _add_dead(commands.add_parser)
    return parser


def _add_up(add: _Add) -> None:
    up = add("up", help="run the whole stack for an application until Ctrl-C")
    up.add_argument("app", help="the application, as package.module:app")
    up.add_argument(
        "--port",
        type=_port,
        default=DEFAULT_PORT,
        help="first of five ports on loopback; 0 for free ones (default: %(default)s)",
    )
    up.add_argument(
        "--state",
        type=Path,
        default=Path(".adjourn"),
        help="folder of the state file (default: %(default)s)",
    )
    up.add_argument("--memory", action="store_true", help="keep no state")
    up.add_argument("--no-limits", action="store_true", help="dispatch as fast as possible")
    up.set_defaults(run=lambda options: asyncio.run(_up(options)))


def _add_dead(add: _Add) -> None:
    parser = add("dead", help="look into dead letters, replay or discard them")
    parser.set_defaults(run=dead.run)
    actions = parser.add_subparsers(required=True, metavar="action", dest="dead")
    filters = argparse.ArgumentParser(add_help=False)
    filters.add_argument("--task", help="only those of this task, by its registered name")
    filters.add_argument("--queue", help="only those from this queue")
    for name in ("older", "newer"):
        filters.add_argument(
            f"--{name}",
            type=_duration,
            metavar="AGE",
            help=f"only those {name} than 90s, 5m, 2h, 7d",
        )
    found = actions.add_parser("list", parents=[filters], help="list them, the latest first")
    found.add_argument("--limit", type=_count, default=50, help="at most (default: %(default)s)")
    shown = actions.add_parser("show", help="tell all about one")
    shown.add_argument("id")
    for each in (found, shown):
        each.add_argument("--json", action="store_true", help="print JSON")
    for name, help_ in (
        ("replay", "enqueue their calls again and remove them"),
        ("discard", "remove them for good"),
    ):
        action = actions.add_parser(name, parents=[filters], help=help_)
        action.add_argument("ids", nargs="*", metavar="id")
        action.add_argument("--all", action="store_true", help="all that the filters leave")
        action.add_argument("--yes", action="store_true", help="do not ask")


def _port(text: str) -> int:
    port = int(text)
    if port and not 1024 <= port <= 65530:  # noqa: PLR2004 - unprivileged, with room for five
        raise argparse.ArgumentTypeError(f"{port} is not 0 or from 1024 to 65530")
    return port


def _count(text: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,8}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


def _duration(text: str) -> dt.timedelta:
    if not re.fullmatch("[0-9]{1,6}[smhdw]", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 90s, 5m, 2h, 7d or 2w")
    return int(text[:-1]) * _UNITS[text[-1]]


async def _up(options: argparse.Namespace) -> int:
    logging.basicConfig(format="[stack] %(levelname)s %(message)s", level=logging.INFO)
    sys.path.insert(0, str(Path.cwd()))
    app = load_app({"ADJOURN_APP": options.app})
    stack = Stack(
        app,
        options.app,
        state=None if options.memory else options.state,
        base_port=options.port,
        limits=not options.no_limits,
        write=_write,
    )
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with stack:
        print(_greeting(stack, options), flush=True)
        await stopped.wait()
        print("Stopping ...", flush=True)
    return 0


def _greeting(stack: Stack, options: argparse.Namespace) -> str:
    ports = stack.ports
    state = "none" if options.memory else options.state
    lines = [
        f"adjourn is up for {options.app} (project {PROJECT}), Ctrl-C stops it.",
        f"  Cloud Tasks, Cloud Scheduler, Datastore (gRPC)  127.0.0.1:{ports.grpc}",
        f"  Datastore (HTTP), keys of the token issuer      {ports.url('http')}",
        *(f"  function {name:<39}{ports.url(name)}" for name in ("deferred", "cron", "queryiter")),
        f"  state                                           {state}",
        "Set these where your application runs:",
        *(f"  export {name}={value}" for name, value in ports.environment().items()),
    ]
    return "\n".join(lines)


def _write(name: str, line: str) -> None:
    print(f"[{name}] {_readable(line)}", flush=True)


def _readable(line: str) -> str:
    """Return a structured log line as a person wants it; any other line as it is."""
    try:
        fields = json.loads(line)
        text = f"{fields['severity']} {fields['message']}"
    except (ValueError, TypeError, KeyError):
        return line
    trace = fields.get("stack_trace", "").rstrip()
    return f"{text}\n{trace}" if trace else text
