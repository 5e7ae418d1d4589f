"""Compare arguments with the annotations of a function, where these are plain classes."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from inspect import BoundArguments, Parameter
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from adjourn.errors import EncodeError

_VARIADIC = {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}


def check_types(task: str, function: Callable[..., Any], arguments: BoundArguments) -> None:
    """Refuse arguments that are not of the class that is annotated.

    Only what is certain is refused: an annotation that cannot be evaluated here, or is more than
    classes, `Literal` and unions of these, allows everything. The items of collections are not
    looked at.

    Args:
        task: Registered name of the task, for the message.
        function: Its function.
        arguments: The arguments by parameter.

    Raises:
        EncodeError: An argument is something else; the message names it.
    """
    hints = _hints(function)
    for name, value in arguments.arguments.items():
        is_variadic = arguments.signature.parameters[name].kind in _VARIADIC
        if name in hints and not is_variadic and not _is_of(value, hints[name]):
            wanted = getattr(hints[name], "__name__", hints[name])
            raise EncodeError(
                f"{task}: {name} must be of the type {wanted}, not {type(value).__name__}."
            )


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except Exception:  # noqa: BLE001 - such as names that are imported for type checkers alone
        return {}


def _is_of(value: object, hint: Any) -> bool:
    options = list(_alternatives(hint))
    try:
        return any(_matches(value, each) for each in options)
    except TypeError:  # such as a protocol, which cannot be checked here
        return True


def _alternatives(hint: Any) -> Iterator[Any]:
    if get_origin(hint) in {Union, types.UnionType}:
        for each in get_args(hint):
            yield from _alternatives(each)
    else:
        yield hint


def _matches(value: object, hint: Any) -> bool:
    origin = get_origin(hint)
    if origin is Literal:
        return value in get_args(hint)
    hint = origin or hint
    if hint is None or hint is type(None):
        return value is None
    if not isinstance(hint, type):
        return True
    return isinstance(value, (int, float) if hint is float else hint)
