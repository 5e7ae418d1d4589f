"""The commands `adjourn call`: list and start callable tasks as a user who may start them."""

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from rich.table import Table

from adjourn.settings import LOOPBACK, is_safe_url
from adjourn_local.clients.callable_tasks import CallableTasks, gcloud_token, local_token
from adjourn_local.clients.parameters import Schema, is_list, parameter
from adjourn_local.commands import Add
from adjourn_local.commands.output import console, plain, print_json, say
from adjourn_local.errors import UsageError


def add(add: Add) -> None:
    """Declare the commands and their options."""
    parser = add("call", help="list callable tasks, or start one")
    parser.set_defaults(run=run)
    actions = parser.add_subparsers(required=True, metavar="action", dest="call")
    user = argparse.ArgumentParser(add_help=False)
    user.add_argument("--url", help="the deferred function (default: ADJOURN_DEFERRED_URL)")
    user.add_argument("--user", metavar="EMAIL", help="the user; on the laptop stack, any email")
    user.add_argument("--token", help="a Google identity token, - to read it from stdin")
    user.add_argument("--json", action="store_true", help="print JSON")
    actions.add_parser("list", parents=[user], help="list the tasks that you may start")
    started = actions.add_parser("run", parents=[user], help="start one")
    started.add_argument("key")
    started.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter; repeat it for each item of a list; NAME:=JSON gives a JSON value",
    )


def run(options: argparse.Namespace) -> int:
    """Carry out one of the commands and return the exit status.

    Raises:
        UsageError: An option is missing or invalid.
        CallError: The function has refused the request, or no token could be had.
    """
    url = (options.url or os.environ.get("ADJOURN_DEFERRED_URL", "")).rstrip("/")
    if not is_safe_url(url):
        raise UsageError(
            "Give --url or set ADJOURN_DEFERRED_URL, to an https:// URL or a laptop stack's."
        )
    tasks = CallableTasks(url=url, token=_token(url, options))
    return _list(tasks, options) if options.call == "list" else _start(tasks, options)


def _token(url: str, options: argparse.Namespace) -> str:
    if options.token:
        is_piped = options.token == "-"  # noqa: S105 - a file name
        token = sys.stdin.readline().strip() if is_piped else str(options.token)
        if not re.fullmatch(r"[!-~]+", token):
            raise UsageError("A token is one word of ASCII; --token - reads it from stdin.")
        return token
    if urlsplit(url).hostname not in LOOPBACK:
        return gcloud_token(options.user)
    keys_url = os.environ.get("ADJOURN_KEYS_URL", "")
    audience = os.environ.get("ADJOURN_PEOPLE_AUDIENCES", "").split(",")[0].strip()
    if not options.user:
        raise UsageError("Say who asks: --user EMAIL, on the laptop stack any address.")
    if urlsplit(keys_url).hostname not in LOOPBACK:
        raise UsageError(
            f"ADJOURN_KEYS_URL={keys_url!r} is no laptop stack's, which would issue a token for"
            f" {options.user}; set the variables that `adjourn env` prints, or give --token."
        )
    if not audience:
        raise UsageError(
            "ADJOURN_PEOPLE_AUDIENCES is not set: what the tokens of users are for. Set the"
            " variables that `adjourn env` prints, or give --token."
        )
    return local_token(keys_url, options.user, audience)


def _list(callable_tasks: CallableTasks, options: argparse.Namespace) -> int:
    tasks = callable_tasks.list()
    if options.json:
        print_json({"tasks": tasks})
    elif tasks:
        table = Table(box=None, pad_edge=False)
        for name in ("key", "name", "parameters", "what it does"):
            table.add_column(name, overflow="fold")
        for task in tasks:
            cells = (task["key"], task["name"], _parameter_names(task["parameters"]), task["descr"])
            table.add_row(*map(plain, cells))
        console().print(table)
    else:
        say("There is no task that this account may start.")
    return 0


def _start(callable_tasks: CallableTasks, options: argparse.Namespace) -> int:
    forms = {task["key"]: task["parameters"]["properties"] for task in callable_tasks.list()}
    # For an unknown or forbidden task the function returns the error.
    handle = callable_tasks.start(
        options.key, _parameters(options.param, forms.get(options.key, {}))
    )
    if options.json:
        print_json(handle)
    elif handle["is_new"]:
        say(f"{options.key} is queued as {handle['name']}")
    else:
        say(f"{options.key} was queued before, as {handle['name']}")
    return 0


def _parameter_names(schema: Schema) -> str:
    names = schema["properties"]
    return ", ".join(n if n in schema["required"] else f"[{n}]" for n in names) or "-"


def _parameters(given: Sequence[str], form: Schema) -> Mapping[str, object]:
    """Convert the `--param` options to the types that the task's form has."""
    values: dict[str, object] = {}
    texts: dict[str, list[str]] = {}
    for each in given:
        name, equals, text = each.partition("=")
        if not (name.rstrip(":") and equals):
            raise UsageError(f"--param {each} must be NAME=VALUE or NAME:=JSON.")
        if name.endswith(":"):
            values[name[:-1]] = _json(each, text)
        else:
            texts.setdefault(name, []).append(text)
    for name, items in texts.items():
        if len(items) > 1 and not is_list(form.get(name, {})):
            raise UsageError(f"--param {name} is not a list, but given {len(items)} times.")
        values[name] = parameter(form.get(name, {}), items)
    return values


def _json(given: str, text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(f"--param {given} is not JSON: {error}.") from None
