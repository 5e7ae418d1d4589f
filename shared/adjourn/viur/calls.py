"""Tasks that are called as ViUR's deferred functions are, and functions that are called at once."""

from __future__ import annotations

import datetime as dt
import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

from adjourn.log import event
from adjourn.names import digest
from adjourn.registry import signature
from adjourn.tasks.methods import BoundTask, Method, TaskClasses
from adjourn.tasks.options import CallOptions
from adjourn.tasks.task import Task
from adjourn.viur import installed
from adjourn.viur.modules import module_path, unwrapped

P = ParamSpec("P")
R = TypeVar("R")

DEFAULT_QUEUE = "default"

# ViUR takes them in a name, Cloud Tasks does not.
_NAME_ONLY_THERE = re.compile("[:.]")
_NOTHING = dt.timedelta()


class _Deferring(Task[P, R]):
    """Takes the options of a call from its keyword arguments."""

    __slots__ = ()

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Enqueue a call of the function; return its handle.

        Args:
            args: The function's own.
            kwargs: The function's own and `_queue`, `_countdown` (seconds or timedelta; what is
                negative is nothing), `_eta` (UTC if it has no zone), `_name` (":" and "." become
                "-", with a digest at the end); `_call_deferred=False` runs it here and now and
                returns what it returns; `_target_version` has no effect.

        Raises:
            TypeError: Another argument with an underscore is none of the function's.
            DeclarationError: An option is wrong; it is a ValueError.
            EncodeError: An argument cannot be carried.
            EnqueueError: Cloud Tasks did not accept the task.
        """
        given = {name: value for name, value in kwargs.items() if name in _OPTIONS}
        own = {name: value for name, value in kwargs.items() if name not in _OPTIONS}
        _check_own(self, own)
        if not given.get("_call_deferred", True):
            return self.call_local(*args, **own)
        options = _options(self, given)
        if options:
            return self.options(**options).defer(*args, **own)
        return super().__call__(*args, **own)


class _Direct(Task[P, R]):
    """Runs at once when it is called, as ViUR's periodic functions and startup tasks do."""

    __slots__ = ()

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Run the function here and now."""
        return self.call_local(*args, **kwargs)


class _OfClass(Method[P, R]):
    """A method in its class, which can be called with its object as the first argument."""

    __slots__ = ()

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the method of the first argument, as `Base.method(order, 7)` does."""
        if args and _has(args[0], self):
            return self.on(args[0])(*args[1:], **kwargs)
        return super().__call__(*args, **kwargs)


class DeferredTask(_Deferring[P, R]):
    """A function."""


class DeferredBound(_Deferring[P, R], BoundTask[P, R]):
    """A method of an object or a class."""


class DeferredMethod(_OfClass[P, R], _Deferring[P, R], Method[P, R]):
    """A method in its class."""

    @property
    def bound(self) -> type[BoundTask[..., R]]:
        """The sort of tasks that `on` makes."""
        return DeferredBound


class DirectTask(_Direct[P, R]):
    """A function."""


class DirectBound(_Direct[P, R], BoundTask[P, R]):
    """A method of an object or a class."""


class DirectMethod(_Direct[P, R], Method[P, R]):
    """A method in its class."""

    @property
    def bound(self) -> type[BoundTask[..., R]]:
        """The sort of tasks that `on` makes."""
        return DirectBound


DEFERRED = TaskClasses(task=DeferredTask, method=DeferredMethod)
DIRECT = TaskClasses(task=DirectTask, method=DirectMethod)


def queues_of_configuration() -> frozenset[str]:
    """Return the queues that ViUR's `conf.tasks_default_queues` names."""
    return frozenset(_default_queues().values()) - {DEFAULT_QUEUE}


def _default_queues() -> Mapping[str, str]:
    return getattr(installed.configuration(), "tasks_default_queues", None) or {}


def _default_queue(task: Task[..., Any]) -> str | None:
    """Return the queue that ViUR's configuration has for a task that is called without one."""
    queues = _default_queues()
    if not queues:
        return None
    path = module_path(task.receiver) if isinstance(task, BoundTask) else ""
    name = task.function.__name__
    known_as = f"{path}/{name}".removeprefix("//") if path else f"{name}.{task.function.__module__}"
    return queues.get(known_as, queues.get("__default__"))


def _options(task: Task[..., Any], given: Mapping[str, Any]) -> CallOptions:
    """Return the options of a call as adjourn has them."""
    if given.get("_target_version") is not None:
        text = f"{task.name}: a task is bound to no version; _target_version has no effect"
        event("viur.target_version", logging.WARNING, text, task=task.name)
    queue = given.get("_queue") or task.defaults.queue or _default_queue(task)
    options: Any = {
        "queue": None if queue == DEFAULT_QUEUE else queue,
        "delay": _delay(given.get("_countdown")),
        "eta": _eta(given.get("_eta")),
        "call_name": _name(given.get("_name")),
    }
    return {name: value for name, value in options.items() if value is not None}  # type: ignore[return-value]  # the names are its own


def _delay(countdown: Any) -> Any:
    """Return how long to wait: nothing, if ViUR would wait for nothing."""
    if isinstance(countdown, dt.timedelta):
        return countdown if countdown > _NOTHING else None
    is_number = isinstance(countdown, int | float)
    return None if not countdown or (is_number and countdown < 0) else countdown


def _eta(eta: Any) -> Any:
    is_naive = isinstance(eta, dt.datetime) and eta.utcoffset() is None
    return eta.replace(tzinfo=dt.UTC) if is_naive else eta


def _name(name: Any) -> Any:
    if not isinstance(name, str) or not _NAME_ONLY_THERE.search(name):
        return name
    return f"{_NAME_ONLY_THERE.sub('-', name)}-{digest(name, 8)}"


def _has(item: object, method: Method[..., Any]) -> bool:
    """Whether a method stands in the class of an object, and is none of `@staticmethod`."""
    name = method.function.__name__
    found = [vars(cls)[name] for cls in type(item).__mro__ if name in vars(cls)]
    return any(unwrapped(each) is method and not isinstance(each, staticmethod) for each in found)


def _check_own(task: Task[..., Any], names: Iterable[str]) -> None:
    hidden = [name for name in names if name.startswith("_")]
    if not hidden:
        return
    parameters = signature(task.function).parameters
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return
    for name in hidden:
        if name not in parameters:
            raise TypeError(
                f"{task.name} has no parameter {name}, and there is no such option; there are"
                f" {', '.join(sorted(_OPTIONS))}."
            )


_OPTIONS = frozenset({"_queue", "_countdown", "_eta", "_name", "_target_version", "_call_deferred"})
