"""Queues that an application names where it makes a call, as in `send(7, _queue="mail")`."""

from __future__ import annotations

import ast
import logging
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from adjourn.log import event
from adjourn.settings import is_queue

_OPTION = "_queue"
_FOREIGN = {"site-packages", "dist-packages"}


class NamedQueue(NamedTuple):
    """A place in the source where a call names a queue.

    Attributes:
        place: File and line.
        queue: The name; None if it is only known when the call is made.
    """

    place: str
    queue: str | None


def named_in(modules: Iterable[str]) -> frozenset[str]:
    """Return the queues that are named in modules; a log event tells of each unknown one."""
    found = list(in_modules(modules))
    for each in found:
        if each.queue is None:
            text = f"{each.place}: the queue is known only at the call; see that Terraform has it"
            event("viur.queue_unknown", logging.WARNING, text)
    return frozenset(each.queue for each in found if each.queue and is_queue(each.queue))


def in_modules(names: Iterable[str]) -> Iterator[NamedQueue]:
    """Yield the queues that are named in loaded modules, and in those that lie beside them.

    Args:
        names: Modules of the application; all that are loaded from the same folders count as its.
    """
    folders = {root for name in names if (root := _root(name)) is not None}
    for file in sorted({f for m in list(sys.modules.values()) if (f := _file(m)) is not None}):
        if any(folder in file.parents for folder in folders) and not _FOREIGN & set(file.parts):
            yield from in_source(file.read_text(encoding="utf-8"), str(file))


def in_source(source: str, file: str) -> Iterator[NamedQueue]:
    """Yield the queues that calls in a source name; none if it is no Python."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return
    for node in (each for each in ast.walk(tree) if isinstance(each, ast.Call)):
        for keyword in node.keywords:
            if keyword.arg == _OPTION:
                value = keyword.value
                known = value.value if isinstance(value, ast.Constant) else ""
                if known is not None:
                    queue = known if isinstance(known, str) and known else None
                    yield NamedQueue(f"{file}:{node.lineno}", queue)


def _root(name: str) -> Path | None:
    """Return the folder from which a module's topmost package is imported."""
    file = _file(sys.modules.get(name))
    if file is None:
        return None
    levels = name.count(".") + (file.name == "__init__.py")
    return file.parents[levels]


def _file(module: object) -> Path | None:
    path = getattr(module, "__file__", None)
    return Path(path).resolve() if isinstance(path, str) and path.endswith(".py") else None
