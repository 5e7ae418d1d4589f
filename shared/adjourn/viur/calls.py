"""Tasks that are called as ViUR's deferred functions are, and functions that are called at once."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

from adjourn.log import event
from adjourn.registry import signature
from adjourn.tasks.methods import BoundTask, Method, TaskClasses
from adjourn.tasks.options import CallOptions
from adjourn.tasks.task import Task

P = ParamSpec("P")
R = TypeVar("R")

DEFAULT_QUEUE = "default"

_NAMES = {"_queue": "queue", "_countdown": "delay", "_eta": "eta", "_name": "name"}


class _Deferring(Task[P, R]):
    """Takes the options of a call from its keyword arguments."""

    __slots__ = ()

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Enqueue a call of the function; return its handle.

        Args:
            args: The function's own.
            kwargs: The function's own and `_queue`, `_countdown` (seconds or timedelta), `_eta`
                (aware), `_name`; `_call_deferred=False` runs it here and now and returns what it
                returns; `_target_version` has no effect.

        Raises:
            TypeError: Another argument with an underscore is none of the function's.
            DeclarationError: An option is wrong; it is a ValueError.
            EncodeError: An argument cannot be carried.
            EnqueueError: Cloud Tasks did not accept the task.
        """
        if not any(name.startswith("_") for name in kwargs):
            return super().__call__(*args, **kwargs)
        options, is_deferred = _options(self, kwargs)
        own = {name: value for name, value in kwargs.items() if name not in _OPTIONS}
        _check_own(self, own)
        if not is_deferred:
            return self.call_local(*args, **own)
        if options:
            return self.options(**options).defer(*args, **own)
        return super().__call__(*args, **own)


class _Direct(Task[P, R]):
    """Runs at once when it is called, as ViUR's periodic functions and startup tasks do."""

    __slots__ = ()

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Run the function here and now."""
        return self.call_local(*args, **kwargs)


class DeferredTask(_Deferring[P, R]):
    """A function."""

    __slots__ = ()


class DeferredBound(_Deferring[P, R], BoundTask[P, R]):
    """A method of an object or a class."""

    __slots__ = ()


class DeferredMethod(_Deferring[P, R], Method[P, R]):
    """A method in its class."""

    __slots__ = ()

    @property
    def bound(self) -> type[BoundTask[..., R]]:
        """The sort of tasks that `on` makes."""
        return DeferredBound


class DirectTask(_Direct[P, R]):
    """A function."""

    __slots__ = ()


class DirectBound(_Direct[P, R], BoundTask[P, R]):
    """A method of an object or a class."""

    __slots__ = ()


class DirectMethod(_Direct[P, R], Method[P, R]):
    """A method in its class."""

    __slots__ = ()

    @property
    def bound(self) -> type[BoundTask[..., R]]:
        """The sort of tasks that `on` makes."""
        return DirectBound


DEFERRED = TaskClasses(task=DeferredTask, method=DeferredMethod)
DIRECT = TaskClasses(task=DirectTask, method=DirectMethod)

_OPTIONS = frozenset({*_NAMES, "_target_version", "_call_deferred"})


def _options(task: Task[..., Any], kwargs: Mapping[str, Any]) -> tuple[CallOptions, bool]:
    """Return the options that a call gives, and whether it is to be deferred."""
    if kwargs.get("_target_version") is not None:
        text = f"{task.name}: a task is bound to no version; _target_version has no effect"
        event("viur.target_version", logging.WARNING, text, task=task.name)
    given: Any = {
        name: kwargs[said]
        for said, name in _NAMES.items()
        if kwargs.get(said) is not None and (said, kwargs[said]) != ("_queue", DEFAULT_QUEUE)
    }
    return given, kwargs.get("_call_deferred", True)


def _check_own(task: Task[..., Any], names: Iterable[str]) -> None:
    parameters = signature(task.function).parameters
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return
    for name in names:
        if name.startswith("_") and name not in parameters:
            raise TypeError(
                f"{task.name} has no parameter {name}, and there is no such option; there are"
                f" {', '.join(sorted(_OPTIONS))}."
            )
