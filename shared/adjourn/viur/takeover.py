"""Find out what a call that ViUR wrote means here, and when it may be made."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Sequence
from typing import Any

from adjourn.errors import Discard, PermanentTaskFailure, Snooze, UnknownNameError
from adjourn.log import event
from adjourn.names import VIUR
from adjourn.ports import EntityStore, RecordKey
from adjourn.tasks.methods import BoundTask, Method
from adjourn.tasks.objects import ObjectRegistry
from adjourn.tasks.task import Task
from adjourn.viur.calls import DeferredMethod, DeferredTask
from adjourn.viur.modules import ROOT, canonical, task_of

STARTUP = f"{VIUR}startup"
_STARTUP_THERE = "runStartupTasks.viur.core.tasks"

# As long as a task of ours is tried whose name is unknown: a deploy may be rolling.
GRACE = dt.timedelta(hours=1)
_PAUSE = dt.timedelta(minutes=5)
_MARKER_KIND = "viur-transactionmarker"
_MARKER_PAUSE = dt.timedelta(seconds=30)
# ViUR delivers such a call 90 seconds after it was made, and a transaction lives 270 at most
# (https://cloud.google.com/datastore/docs/concepts/transactions); the rest is for clocks.
_MARKER_PATIENCE = dt.timedelta(seconds=200)


def await_commit(marker: str, age: dt.timedelta, store: EntityStore) -> None:
    """Let a call go on only if the transaction was committed in which it was made.

    Args:
        marker: Name of the entity that was put in the transaction; "" if there was none.
        age: Time since the call was delivered first.
        store: Where the entity is.

    Raises:
        Snooze: The transaction may still be committed.
        Discard: It cannot.
        StoreError: Datastore could not be reached.
    """
    if not marker or store.get([RecordKey(_MARKER_KIND, marker)])[0] is not None:
        return
    if age < _MARKER_PATIENCE:
        raise Snooze(_MARKER_PAUSE)
    raise Discard("the transaction in which ViUR made the call was not committed")


def find(
    command: str, path: str, tasks: Iterable[Task[..., Any]], objects: ObjectRegistry
) -> tuple[Task[..., Any], Sequence[object]]:
    """Return the task that is meant, and the arguments that stand before those of the call.

    Raises:
        UnknownNameError: There is none.
        PermanentTaskFailure: There are several, and the wrong one must not run.
    """
    if command == "rel":
        return _find_method(path, objects)
    tasks = list(tasks)
    if path == _STARTUP_THERE:
        return next(each for each in tasks if each.name == STARTUP), ()
    named = [each for each in tasks if _is_deferred(each) and _name(each) == path]
    at_top = [each for each in named if not isinstance(each, Method)]
    found = at_top or named
    if len(found) > 1:
        names = ", ".join(each.name for each in found)
        raise PermanentTaskFailure(f"ViUR called {path}, which may be any of {names}.")
    if not found:
        raise UnknownNameError(f"No function that ViUR would call {path!r} is deferred here.")
    return found[0], ()


def or_later(error: UnknownNameError, age: dt.timedelta) -> None:
    """Put a call off whose task is unknown, for an hour.

    Raises:
        Snooze: It is to come back.
        PermanentTaskFailure: The hour is over.
    """
    if age >= GRACE:
        raise PermanentTaskFailure(f"{error}") from error
    event("task.unknown", logging.WARNING, f"{error} It is tried again for an hour")
    raise Snooze(_PAUSE)


def _find_method(path: str, objects: ObjectRegistry) -> tuple[Task[..., Any], Sequence[object]]:
    parent, _, name = canonical(path).rpartition("/")
    item = objects.find(parent or ROOT)
    task = task_of(type(item), name)
    if task is None or not _is_deferred(task):
        raise UnknownNameError(f"No method that ViUR would call {path!r} is deferred here.")
    bound = task.on(item) if isinstance(task, Method) else task
    return bound, (bound.receiver_argument(),) if isinstance(bound, BoundTask) else ()


def _is_deferred(task: Task[..., Any]) -> bool:
    return isinstance(task, DeferredTask | DeferredMethod)


def _name(task: Task[..., Any]) -> str:
    return f"{task.function.__name__}.{task.function.__module__}"
