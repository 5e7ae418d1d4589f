"""Validate deferred functions and the arguments of their calls."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from adjourn import registry
from adjourn.errors import DeclarationError, EncodeError
from adjourn.serialization.codec import Codec
from adjourn.tasks.function_like import FunctionLike
from adjourn.tasks.options import CallOptions, Options


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
        raise EncodeError(f"{name}: {_with_options(function, args, kwargs) or error}") from None


def flow_keys(
    name: str, options: Options, accepted: inspect.BoundArguments, codec: Codec
) -> tuple[str, ...]:
    """Return the keys of a call for the flows of its task.

    Raises:
        EncodeError: A key cannot be encoded.
        DeclarationError: There are not as many keys as flows.
    """
    if not options.flow:
        return ()
    from adjourn.flow.limits import keys_of  # noqa: PLC0415 - for limited calls

    return keys_of(name, options.flow, accepted, options.flow_key, codec)


def _with_options(
    function: Callable[..., Any], args: tuple[object, ...], kwargs: Mapping[str, object]
) -> str:
    """Return the line to write if options stand among the arguments; "" if none does."""
    parameters = signature(function).parameters
    options = {n: v for n, v in kwargs.items() if n in CallOptions.__annotations__}
    options = {n: v for n, v in options.items() if n not in parameters}
    if not options:
        return ""
    rest = {n: v for n, v in kwargs.items() if n not in options}
    # Values are shown if they cannot be anybody's data, since the message may be logged.
    are_plain = all(isinstance(each, int | float | None) for each in (*args, *rest.values()))
    own = [*map(repr, args), *(f"{n}={v!r}" for n, v in rest.items())] if are_plain else ["..."]
    given = ", ".join(f"{n}={v!r:.80}" for n, v in options.items())
    line = f"{function.__name__}.options({given}).defer({', '.join(own)})"
    return f"{' and '.join(options)} cannot be given among the arguments; write {line}"


def check_plain(function: Any, decorator: str) -> None:
    """Refuse what is no function, or none that runs to its end.

    Args:
        function: What is decorated.
        decorator: What it is decorated with, such as `@app.deferred`.

    Raises:
        DeclarationError: It is something else; the message says the fix.
    """
    if isinstance(function, str):
        raise DeclarationError(
            f"{decorator} takes its options by their names: write {decorator}(queue={function!r})."
        )
    if isinstance(function, FunctionLike):
        raise DeclarationError(
            f"{function.__qualname__} is a task already, so it is deferred already. Leave one of"
            " the decorators out: @app.periodic and @app.startup_task make a deferred task, too,"
            " and take its options."
        )
    if isinstance(function, type):
        raise DeclarationError(
            f"{function.__qualname__} is a class. Put {decorator} on its methods, or on a function"
            " that uses it."
        )
    if not inspect.isfunction(function):
        raise DeclarationError(
            f"{function!r} is not a function of Python; write one (def ...) that calls it."
        )
    if is_generator(function):
        raise DeclarationError(
            f"{function.__qualname__} is a generator, of which nothing would run. Write a function"
            " without yield; one call for each item is task.map(items)."
        )


def check_hook(hook: Any, what: str, argument: str) -> None:
    """Refuse a hook that cannot be called with one argument.

    Args:
        hook: The hook.
        what: Where it was given, such as `on_dead`.
        argument: Name of its argument, such as `letter`.

    Raises:
        DeclarationError: It cannot; the message says what to write.
    """
    write = f"write a function such as def give_up({argument}): ..."
    if isinstance(hook, FunctionLike):
        raise DeclarationError(
            f"{what} would enqueue the task {hook.__qualname__}, which cannot take a {argument};"
            f" {write}, which calls it."
        )
    if not callable(hook):
        raise DeclarationError(f"{what} is {hook!r:.80}, not a function; {write}.")
    if is_generator(hook):
        raise DeclarationError(f"{what} is a generator, of which nothing would run; {write}.")
    misfit = misfitting(hook, argument)
    if misfit:
        raise DeclarationError(f"{what} is called with the {argument} alone: {misfit}; {write}.")


def misfitting(function: Callable[..., Any], *arguments: str) -> str:
    """Return why a function cannot be called with so many arguments by position; "" if it can."""
    try:
        registry.signature(function).bind(*arguments)
    except TypeError as error:
        return str(error)
    except ValueError:  # such as of a function in C
        return ""
    return ""


def check_bare(function: Callable[..., Any], what: str, *, is_method: bool = False) -> None:
    """Refuse a function that cannot be called without arguments.

    Args:
        function: The function.
        what: What it is declared as.
        is_method: Whether it is called on an object.

    Raises:
        DeclarationError: A parameter has no default.
    """
    misfit = misfitting(function, *(["self"] if is_method else []))
    if misfit:
        raise DeclarationError(
            f"{function.__qualname__} is {what}, so it is called without arguments: {misfit}. Give"
            " each parameter a default."
        )


def is_generator(item: object) -> bool:
    """Whether calling a function only makes a generator, asynchronous or not."""
    return inspect.isgeneratorfunction(item) or inspect.isasyncgenfunction(item)


def is_lazy(item: object) -> bool:
    """Whether calling a function only makes a coroutine or a generator and does not run it."""
    return inspect.iscoroutinefunction(item) or is_generator(item)
