"""The commands `adjourn call`: callable tasks, as a person who may start them."""

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from rich.table import Table

from adjourn.settings import LOOPBACK, is_safe_url
from adjourn_local.commands import Add
from adjourn_local.commands.arguments import UsageError
from adjourn_local.commands.caller import Caller, gcloud_token, local_token
from adjourn_local.commands.output import console, plain, print_json, say

Schema = Mapping[str, Any]


def add(add: Add) -> None:
    """Declare the commands and their options."""
    parser = add("call", help="list callable tasks, or start one")
    parser.set_defaults(run=run)
    actions = parser.add_subparsers(required=True, metavar="action", dest="call")
    person = argparse.ArgumentParser(add_help=False)
    person.add_argument("--url", help="the deferred function (default: ADJOURN_DEFERRED_URL)")
    person.add_argument("--user", metavar="EMAIL", help="who asks; on the laptop stack, anybody")
    person.add_argument("--token", help="a Google identity token, - to read it from stdin")
    person.add_argument("--json", action="store_true", help="print JSON")
    actions.add_parser("list", parents=[person], help="list what may be started")
    started = actions.add_parser("run", parents=[person], help="start one")
    started.add_argument("key")
    started.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter, again for each item of a list; NAME:=JSON for a value as it is",
    )


def run(options: argparse.Namespace) -> int:
    """Carry out one of the commands and return the exit status.

    Raises:
        UsageError: Something is missing or contradicts something else.
        CallError: The function did not do it, or there is no token.
    """
    url = (options.url or os.environ.get("ADJOURN_DEFERRED_URL", "")).rstrip("/")
    if not is_safe_url(url):
        raise UsageError("Give --url or ADJOURN_DEFERRED_URL, https:// or a laptop stack's.")
    caller = Caller(url=url, token=_token(url, options))
    return _list(caller, options) if options.call == "list" else _start(caller, options)


def _token(url: str, options: argparse.Namespace) -> str:
    if options.token:
        is_piped = options.token == "-"  # noqa: S105 - as of a file
        token = sys.stdin.readline().strip() if is_piped else str(options.token)
        if not re.fullmatch(r"[!-~]+", token):
            raise UsageError("A token is one word of ASCII; --token - reads it from stdin.")
        return token
    if urlsplit(url).hostname not in LOOPBACK:
        return gcloud_token(options.user)
    keys_url = os.environ.get("ADJOURN_KEYS_URL", "")
    audience = os.environ.get("ADJOURN_PEOPLE_AUDIENCES", "").split(",")[0].strip()
    if not (options.user and audience and urlsplit(keys_url).hostname in LOOPBACK):
        raise UsageError("Give --user EMAIL, and set the variables that `adjourn up` prints.")
    return local_token(keys_url, options.user, audience)


def _list(caller: Caller, options: argparse.Namespace) -> int:
    tasks = caller.list()
    if options.json:
        print_json({"tasks": tasks})
    elif tasks:
        table = Table(box=None, pad_edge=False)
        for name in ("key", "name", "parameters", "what it does"):
            table.add_column(name, overflow="fold")
        for task in tasks:
            cells = (task["key"], task["name"], _signature(task["parameters"]), task["descr"])
            table.add_row(*map(plain, cells))
        console().print(table)
    else:
        say("No task that this account may start.")
    return 0


def _start(caller: Caller, options: argparse.Namespace) -> int:
    forms = {task["key"]: task["parameters"]["properties"] for task in caller.list()}
    # Where there is no such task, or none for this account, the function says which it is.
    handle = caller.start(options.key, _parameters(options.param, forms.get(options.key, {})))
    if options.json:
        print_json(handle)
    elif handle["is_new"]:
        say(f"{options.key} is queued as {handle['name']}")
    else:
        say(f"{options.key} was queued before, as {handle['name']}")
    return 0


def _signature(schema: Schema) -> str:
    names = schema["properties"]
    return ", ".join(n if n in schema["required"] else f"[{n}]" for n in names) or "-"


def _parameters(given: Sequence[str], form: Schema) -> Mapping[str, object]:
    """Return what was given on the command line as the form wants it."""
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
    return values | {name: _value(form.get(name, {}), name, each) for name, each in texts.items()}


def _value(schema: Schema, name: str, texts: Sequence[str]) -> object:
    plain_schema = _without_null(schema)
    if plain_schema.get("type") == "array":
        return [_scalar(_without_null(plain_schema["items"]), text) for text in texts]
    if len(texts) > 1:
        raise UsageError(f"--param {name} is no list, and given {len(texts)} times.")
    return _scalar(plain_schema, texts[0])


def _scalar(schema: Schema, text: str) -> object:
    """Return what a text stands for; itself where it does not fit, as the function then tells."""
    if schema.get("type") in {"integer", "number", "boolean"}:
        try:
            return json.loads(text)
        except ValueError:
            return text
    return next((value for value in schema.get("enum", ()) if str(value) == text), text)


def _without_null(schema: Schema) -> Schema:
    found: Schema = schema.get("anyOf", [schema])[0]
    return found


def _json(given: str, text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(f"--param {given} is no JSON: {error}.") from None
