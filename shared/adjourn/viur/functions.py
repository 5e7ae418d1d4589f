"""Functions as ViUR's decorators are given them: plain, nested, or wrapped by other decorators."""

from __future__ import annotations

import functools
import inspect
from typing import Any

from adjourn.errors import DeclarationError
from adjourn.registry import default_name, signature
from adjourn.tasks.methods import Method, is_method
from adjourn.tasks.task import Task


def as_function(function: Any) -> Any:
    """Return what is to be declared: a function, or what decorators of ViUR have made of one.

    A method without parameters can only be a static one, whatever stands above it.
    """
    inner = getattr(function, "__dict__", {}).get("_func")
    if inner is not None:

        @functools.wraps(inner)
        def through(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return through
    if inspect.isfunction(function) and is_method(function):
        return function if signature(function).parameters else staticmethod(function)
    return function


def name_of(function: Any) -> str:
    """Return the name under which a function is known; nested ones are known while they are there.

    Raises:
        DeclarationError: Another process could not find it.
    """
    if "<locals>" in getattr(function, "__qualname__", ""):
        return f"{function.__module__}.{function.__qualname__}"
    return default_name(function)


def check_bare(task: Task[..., Any]) -> None:
    """Refuse a function that cannot be called without arguments.

    Raises:
        DeclarationError: It needs some.
    """
    receiver = (None,) if isinstance(task, Method) else ()
    try:
        signature(task.function).bind(*receiver)
    except TypeError as error:
        raise DeclarationError(f"{task.name} is called without arguments: {error}.") from error
