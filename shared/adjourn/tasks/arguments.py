"""Validate deferred functions and the arguments of their calls."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from adjourn import registry
from adjourn.errors import DeclarationError, EncodeError


@cache
def signature(function: Callable[..., Any]) -> inspect.Signature:
    """Return the signature of a function itself, even if it wraps another function."""
    return registry.signature(function, follow_wrapped=False)


def check_arguments(
    name: str,
    function: Callable[..., Any],
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
) -> inspect.BoundArguments:
    """Refuse arguments that a function does not accept; return them by parameter.

    Raises:
        EncodeError: The function does not accept them; the message says why.
    """
    try:
        return signature(function).bind(*args, **kwargs)
    except TypeError as error:
        raise EncodeError(f"{name}: {error}") from None


def check_plain(function: Callable[..., Any]) -> None:
    """Refuse a function that only makes a coroutine or generator, which would look like success.

    Raises:
        DeclarationError: It is no function, or an asynchronous one or a generator.
    """
    if not inspect.isfunction(function) or is_lazy(function):
        raise DeclarationError(f"{function!r} is not a plain function (def ...).")


def check_bare(function: Callable[..., Any], what: str, *, given: int = 0) -> None:
    """Refuse a function with more parameters than arguments.

    Raises:
        DeclarationError: It has more parameters than `given`.
    """
    if len(registry.signature(function).parameters) > given:
        raise DeclarationError(f"{function.__name__} is {what}, so it takes no arguments.")


def is_lazy(item: object) -> bool:
    """Whether calling a function only makes a coroutine or a generator and does not run it."""
    kinds = (
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
    )
    return any(is_kind(item) for is_kind in kinds)
