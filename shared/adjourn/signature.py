"""Whether a function takes the arguments that it is to be called with later."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from adjourn.errors import EncodeError


@cache
def signature(function: Callable[..., Any]) -> inspect.Signature:
    """Return what a function takes; not what one takes that a decorator has wrapped in it."""
    return inspect.signature(function, follow_wrapped=False)


def check_arguments(
    name: str,
    function: Callable[..., Any],
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
) -> None:
    """Refuse arguments with which every attempt at a call would fail.

    Raises:
        EncodeError: The function does not take them; the message says why.
    """
    try:
        signature(function).bind(*args, **kwargs)
    except TypeError as error:
        raise EncodeError(f"{name}: {error}") from None
