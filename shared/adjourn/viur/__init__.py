"""ViUR's names on adjourn: code written for `viur.core.tasks` runs with its import line changed.

What the decorators declare stands on `adjourn.viur.app`. Import it into the module that imports all
of the application's tasks, and name it there: `ADJOURN_APP=shop.main:app`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from adjourn.errors import PermanentTaskFailure
from adjourn.tasks.task import Task
from adjourn.viur.application import ViurApp, app
from adjourn.viur.environment import CUSTOM_OBJ, CustomEnvironmentHandler
from adjourn.viur.handler import TaskHandler
from adjourn.viur.iterations import DeleteEntitiesIter, MetaQueryIter, QueryIter
from adjourn.viur.limits import Limit, Mail, limited
from adjourn.viur.module_names import VARIABLES
from adjourn.viur.people import CallableTaskBase
from adjourn.viur.values import JsonKeyEncoder, jsonDecodeObjectHook

__all__ = [
    "CUSTOM_OBJ",
    "CallDeferred",
    "CallableTask",
    "CallableTaskBase",
    "CustomEnvironmentHandler",
    "DeleteEntitiesIter",
    "JsonKeyEncoder",
    "Mail",
    "MetaQueryIter",
    "PeriodicTask",
    "PermanentTaskFailure",
    "QueryIter",
    "StartupTask",
    "TaskHandler",
    "ViurApp",
    "app",
    "callDeferred",
    "jsonDecodeObjectHook",
    "noRetry",
    "removePeriodicTask",
    "retry_n_times",
    "runStartupTasks",
]

F = TypeVar("F")
R = TypeVar("R")
K = TypeVar("K", bound=type)


def __getattr__(name: str) -> Any:
    """Return a variable of ViUR's task module, with the value that it has now."""
    if name not in VARIABLES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return VARIABLES[name]()


def CallDeferred(func: Callable[..., R]) -> Task[..., R]:
    """Declare a function or a method that runs later when it is called.

    A call takes `_queue`, `_countdown`, `_eta`, `_name`, `_call_deferred` beside the function's own
    arguments, and returns a `TaskHandle`.

    Raises:
        DeclarationError: It cannot be deferred; the message says how to mend it.
    """
    task: Task[..., R] = app.call_deferred(func)
    return task


callDeferred = CallDeferred


def PeriodicTask(interval: float | dt.timedelta = 0, cronName: str = "default") -> Callable[[F], F]:
    """Declare a function or a method that runs again and again; called, it runs at once.

    Args:
        interval: Time between two runs, never less: a timedelta; a number of minutes or seconds, as
            the installed ViUR has it or `ADJOURN_VIUR_INTERVALS` says; a text, which is a number of
            seconds. Zero for every call of Cloud Scheduler.
        cronName: Which Cloud Scheduler job asks for it.

    Raises:
        DeclarationError: It cannot be periodic; the message says how to mend it.
    """

    def declared(function: F) -> F:
        task: F = app.periodic_task(function, interval, cronName)
        return task

    return declared


def removePeriodicTask(task: Any) -> None:
    """Let a function be periodic no more, such as an inherited one.

    Raises:
        DeclarationError: It is not periodic.
    """
    app.remove_periodic(task)


def StartupTask(fn: F) -> F:
    """Declare a function that runs, as a task of its own, soon after an instance starts.

    Raises:
        DeclarationError: It needs arguments, or cannot be a task.
    """
    task: F = app.start_with(fn)
    return task


def runStartupTasks() -> None:
    """Enqueue the startup tasks, once in this process; the deferred function does it by itself."""
    app.run_startup_tasks()


def retry_n_times(
    retries: int, email_recipients: str | Sequence[str] | None = None, tpl: str | None = None
) -> Callable[[F], F]:
    """Limit how often a call is tried again; stands below `@CallDeferred`.

    Args:
        retries: Failed executions that are followed by another. Those that never reached the
            function do not count.
        email_recipients: Whom to tell of a call that was given up; `app.on_mail` sends it.
        tpl: Name of the mail's template.
    """
    given = email_recipients or ()
    recipients = (given,) if isinstance(given, str) else tuple(given)
    limit = Limit(retries=retries, recipients=recipients, tpl=tpl)
    return lambda function: limited(function, limit)


def noRetry(f: F) -> F:
    """Let a call never be begun a second time, neither after a failure nor after a crash."""
    return limited(f, Limit(retries=None))


def CallableTask(fn: K) -> K:
    """Let people start what a class does, those whom its `canCall` admits.

    Raises:
        DeclarationError: The class is wrong or its key is taken.
    """
    app.offer_callable(fn)
    return fn
