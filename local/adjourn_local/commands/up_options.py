"""The options of `adjourn up`."""

import argparse
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from adjourn.settings import PREFIX, is_safe_url
from adjourn_local.commands.arguments import add_allowed_hosts, duration
from adjourn_local.datastore import Concurrency
from adjourn_local.http.faults import NO_FAULTS, Faults, parse
from adjourn_local.tasks.options import DEFAULTS

DEFAULT_PORT = 8710
DEFAULT_STATE = ".adjourn"


def add_options(up: argparse.ArgumentParser) -> None:
    """Declare the options."""
    up.add_argument("app", help="the application, as package.module:app or file.py:app")
    add_servers(up)
    up.add_argument(
        "--serve",
        type=_service_url,
        metavar="URL",
        help="call a server of your own that serves the functions (adjourn.web), such as"
        f" http://127.0.0.1:8000, instead of starting them; its prefix is {PREFIX} unless the URL"
        " has one",
    )
    up.add_argument(
        "--reload",
        action=argparse.BooleanOptionalAction,
        help="restart the functions when the code changes (default: if a terminal is attached)",
    )
    _add_debugging(up)
    up.add_argument(
        "--enforce-iam",
        action="store_true",
        help="let functions and application do only what Terraform grants to their accounts",
    )


def add_servers(up: argparse.ArgumentParser) -> None:
    """Declare the options that hold with and without an application."""
    up.add_argument(
        "--port",
        type=_port,
        default=DEFAULT_PORT,
        help="first of five ports on loopback; 0 for free ones (default: %(default)s)",
    )
    add_allowed_hosts(up)
    up.add_argument(
        "--verbose", action="store_true", help="show also what went well, and every traceback"
    )
    _add_state(up)
    _add_env_file(up)
    _add_tasks(up)
    _add_jobs_and_datastore(up)
    up.add_argument(
        "--faults",
        type=_faults,
        default=NO_FAULTS,
        metavar="SPEC",
        help="faults to inject into deliveries, such as duplicates=0.05,lost-answers=0.02,"
        "errors=0.05,delay=0.1..2s,reorder,seed=7",
    )


def _add_state(up: argparse.ArgumentParser) -> None:
    state = up.add_mutually_exclusive_group()
    state.add_argument(
        "--state",
        type=Path,
        default=Path(DEFAULT_STATE),
        help="folder of the state file (default: %(default)s)",
    )
    state.add_argument("--memory", action="store_true", help="keep no state")


def _add_debugging(up: argparse.ArgumentParser) -> None:
    up.add_argument(
        "--debug",
        action="store_true",
        help="open a debugger in this terminal at breakpoint(); tasks run one after the other",
    )
    up.add_argument(
        "--debugpy",
        type=_debugpy_port,
        default=0,
        metavar="PORT",
        help="let editors debug the functions deferred, cron and queryiter at this port and the two"
        " after it",
    )


def _add_env_file(up: argparse.ArgumentParser) -> None:
    up.add_argument(
        "--env-file",
        type=Path,
        metavar="PATH",
        help="a file for the variables of an own process, such as .env; removed at the end",
    )


def _add_tasks(up: argparse.ArgumentParser) -> None:
    up.add_argument("--no-limits", action="store_true", help="dispatch as fast as possible")
    up.add_argument(
        "--throttle", action="store_true", help="slow a queue down on 429 and 503, as Google does"
    )
    up.add_argument(
        "--create-queues",
        action="store_true",
        help="create a missing queue when a task is created in it",
    )
    up.add_argument(
        "--tombstone",
        type=duration,
        default=DEFAULTS.tombstone,
        metavar="TIME",
        help="how long the name of a finished task stays taken, such as 24h (default: 1h)",
    )
    up.add_argument(
        "--firebase-functions",
        type=_url,
        default=DEFAULTS.firebase_functions,
        metavar="URL",
        help="Firebase's Functions emulator, for tasks of firebase-admin (default: %(default)s)",
    )


def _add_jobs_and_datastore(up: argparse.ArgumentParser) -> None:
    up.add_argument(
        "--app-engine",
        type=_service,
        action="append",
        default=[],
        metavar="SERVICE=URL",
        help="URL of an App Engine service, for tasks and jobs with that target; may be repeated",
    )
    up.add_argument(
        "--skip-overlapping",
        action="store_true",
        help="skip a scheduled start of a job that is still running, instead of delaying the start",
    )
    up.add_argument(
        "--concurrency-mode",
        choices=[mode.value for mode in Concurrency],
        default=Concurrency.PESSIMISTIC.value,
        help="concurrency mode of Datastore's transactions (default: %(default)s)",
    )
    up.add_argument(
        "--require-indexes",
        type=Path,
        action="append",
        metavar="PATH",
        help="refuse queries whose composite index is not declared in index.yaml, or in a Terraform"
        " file, folder or plan; may be repeated",
    )


def _port(text: str) -> int:
    port = int(text) if text.isdecimal() else 1
    if port and not 1024 <= port <= 65530:  # noqa: PLR2004 - unprivileged, with room for five
        raise argparse.ArgumentTypeError(f"{text} is not 0 or from 1024 to 65530")
    return port


def _service_url(text: str) -> str:
    url = text.rstrip("/")
    if not is_safe_url(url):
        raise argparse.ArgumentTypeError(f"{text} is not http://127.0.0.1:PORT or an https:// URL")
    return url if urlsplit(url).path else f"{url}{PREFIX}"


def _url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{text} is not http://HOST:PORT")
    return text.rstrip("/")


def _debugpy_port(text: str) -> int:
    if find_spec("debugpy") is None:
        raise argparse.ArgumentTypeError("debugpy is not installed: pip install debugpy")
    port = _port(text)
    if not port:
        raise argparse.ArgumentTypeError("0 is not from 1024 to 65530")
    return port


def _service(text: str) -> tuple[str, str]:
    name, _, url = text.partition("=")
    if not name or not url.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{text} is not SERVICE=http://HOST:PORT")
    return name, url


def _faults(text: str) -> Faults:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
