"""Whether a function can be called later, and with which arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from adjourn import registry
from adjourn.errors import DeclarationError, EncodeError


@cache
def signature(function: Callable[..., Any]) -> inspect.Signature:
    """Return what a function takes; not what one takes that a decorator has wrapped in it."""
    return registry.signature(function, follow_wrapped=False)


def check_arguments(
    name: str,
    function: Callable[..., Any],
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
) -> inspect.BoundArguments:
    """Refuse arguments with which every attempt at a call would fail; return them by parameter.

    Raises:
        EncodeError: The function does not take them; the message says why.
    """
    try:
        return signature(function).bind(*args, **kwargs)
    except TypeError as error:
        raise EncodeError(f"{name}: {error}") from None


def check_plain(function: Callable[..., Any]) -> None:
    """Refuse what runs nothing when it is called, which would look like success.

    Raises:
        DeclarationError: It is no function, or an asynchronous one or a generator.
    """
    if not inspect.isfunction(function) or is_lazy(function):
        raise DeclarationError(f"{function!r} is not a plain function (def ...).")


def check_bare(function: Callable[..., Any], what: str, *, given: int = 0) -> None:
    """Refuse a function that takes more arguments than it is given.

    Raises:
        DeclarationError: It does; the message says what the function is.
    """
    if len(registry.signature(function).parameters) > given:
        raise DeclarationError(f"{function.__name__} is {what}, so it takes no arguments.")


def is_lazy(item: object) -> bool:
    """Whether calling a function only makes a coroutine or a generator, and runs nothing of it."""
    kinds = (
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
    )
    return any(is_kind(item) for is_kind in kinds)
