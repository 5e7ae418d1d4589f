"""The command `adjourn runs start`: start a run of an application's iteration."""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from adjourn import App, CsvFile, KeyList, QueryIter, RowList
from adjourn.gcp.datastore_api import datastore_client
from adjourn_local.commands.application import add_app, chosen, import_app
from adjourn_local.commands.arguments import count
from adjourn_local.commands.deployment import check_emulators
from adjourn_local.commands.output import say
from adjourn_local.errors import UsageError
from adjourn_local.terminal import complain

if TYPE_CHECKING:
    Actions = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - it has no other name

_PACE = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


def add(actions: "Actions") -> None:
    """Declare the command and its options."""
    start = actions.add_parser("start", help="start one over a kind, a list of keys or a CSV file")
    start.add_argument("iteration", help="the class, by its registered name or the end of it")
    add_app(start)
    source = start.add_mutually_exclusive_group(required=True)
    source.add_argument("--kind", help="go over all entities of this kind")
    source.add_argument(
        "--keys-file",
        metavar="FILE",
        help='go over the entities of these keys, a line for each: Product/17, ["Product", "17"]',
    )
    source.add_argument("--ids-file", metavar="FILE", help="go over these lines of text")
    source.add_argument("--csv", metavar="FILE", help="go over the rows of this file")
    start.add_argument("--namespace", help="of the kind or keys")
    start.add_argument("--delimiter", default=",", help="of the CSV file (default: a comma)")
    start.add_argument("--encoding", default="utf-8-sig", help="of the file (default: UTF-8)")
    start.add_argument("--data", type=_json, metavar="JSON", help="the custom_data")
    start.add_argument("--shards", type=count, default=1, help="(default: %(default)s)")
    start.add_argument("--name", help="a second start under the same name starts nothing")
    start.add_argument("--queue", help="short name of the queue of the steps")
    start.add_argument("--limit", type=count, help="the most entities to handle")
    start.add_argument(
        "--entities-per-second", type=_pace, metavar="NUMBER", help="handle at most so many"
    )
    start.add_argument(
        "--dry-run", action="store_true", help="only count what would be done, and do nothing"
    )


def run(options: argparse.Namespace) -> int:
    """Start the run, and print its id.

    Raises:
        UsageError: There is no such class, or a file cannot be read.
        AdjournError: A setting, the application or an option is invalid, or a service cannot be
            reached.
    """
    app = import_app(*chosen(options))
    cls = _class(app, options.iteration)
    check_emulators("DATASTORE_EMULATOR_HOST", "CLOUDTASKS_EMULATOR_HOST")
    handle = cls.start(
        _source(app, options),
        options.data,
        shards=options.shards,
        name=options.name,
        queue=options.queue,
        limit=options.limit,
        entities_per_second=options.entities_per_second,
        dry_run=options.dry_run,
    )
    say(handle.id)
    if not handle.is_new:
        complain("It had been started under that name.")
    return 0


def _class(app: App, name: str) -> type[QueryIter[Any]]:
    """Return the class of a name, or the only one whose name ends so."""
    known = {cls.registered_name: cls for cls in app.iterations()}
    ending = [each for each in known if each.endswith(f".{name}")]
    chosen = [name] if name in known else ending
    if len(chosen) != 1:
        names = ", ".join(sorted(ending or known)) or "none"
        what = "Several iterations are" if ending else "No iteration is"
        raise UsageError(f"{what} named {name!r}; there are: {names}.")
    return known[chosen[0]]


def _source(app: App, options: argparse.Namespace) -> Any:
    """Return the query or list that the run is to go over."""
    if options.csv is not None:
        file = sys.stdin if options.csv == "-" else options.csv
        return CsvFile(file, delimiter=options.delimiter, encoding=options.encoding)
    if options.ids_file is not None:
        return RowList(line for _, line in _lines(options.ids_file, options.encoding))
    client = datastore_client(app.wiring().settings)
    if options.kind is not None:
        return client.query(kind=options.kind, namespace=options.namespace)
    return KeyList(
        client.key(*_path(line, f"line {number} of {options.keys_file}"), **_in(options.namespace))
        for number, line in _lines(options.keys_file, options.encoding)
    )


def _in(namespace: str | None) -> dict[str, str]:
    return {} if namespace is None else {"namespace": namespace}


def _lines(path: str, encoding: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file that are not empty, with their numbers."""
    try:
        with _opened(path, encoding) as file:
            for number, line in enumerate(file, 1):
                if text := line.strip():
                    yield number, text
    except (OSError, UnicodeError, LookupError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None


def _opened(path: str, encoding: str) -> Any:
    stdin: TextIO = sys.stdin
    return nullcontext(stdin) if path == "-" else Path(path).open(encoding=encoding)


def _path(text: str, where: str) -> list[str | int]:
    """Return the path of a key: kinds, each with an id or a name.

    Raises:
        UsageError: It is no such path.
    """
    path: Any = [int(each) if each.isdecimal() else each for each in text.split("/")]
    if text.startswith("["):
        try:
            path = json.loads(text)
        except ValueError:
            path = []
    kinds, ids = path[::2], path[1::2]
    are_kinds = all(isinstance(each, str) and each for each in kinds)
    are_ids = all(type(each) is int or (isinstance(each, str) and each) for each in ids)
    if not path or len(kinds) != len(ids) or not are_kinds or not are_ids:
        raise UsageError(
            f'{where} is no key: {text!r:.100}; write Product/17 or ["Product", "17"], in which'
            " digits in quotes are a name."
        )
    return [*path]


def _json(text: str) -> object:
    try:
        found: object = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON: {error}") from None
    return found


def _pace(text: str) -> float:
    if not _PACE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number such as 50 or 0.5")
    return float(text)
