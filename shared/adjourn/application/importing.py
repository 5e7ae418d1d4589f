"""Whether the application is being imported, when nothing may be enqueued yet."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextvars import ContextVar
from types import FrameType
from typing import TypeVar

from adjourn.concurrency import Scoped
from adjourn.errors import ConfigurationError, DeclarationError

T = TypeVar("T")

_is_loading: ContextVar[bool] = ContextVar("adjourn_is_loading", default=False)


def loading() -> Scoped[bool]:
    """Mark the time, in a `with` block, in which a process loads its application."""
    return Scoped(_is_loading, value=True)


def unless_importing(wiring: Callable[[], T]) -> T:
    """Return the services of an application for a call that enqueues.

    Args:
        wiring: Returns them.

    Raises:
        DeclarationError: This process is loading the application.
        ConfigurationError: Settings are missing or wrong, or not there yet on import.
    """
    if _is_loading.get() and (line := importing_line()):
        raise DeclarationError(_explanation(line))
    try:
        return wiring()
    except ConfigurationError as error:
        if line := importing_line():
            raise ConfigurationError(f"{_explanation(line)}\n{error}") from None
        raise


def importing_line() -> str:
    """Return the line of a module that is being imported and has led here, as `shop.py line 20`.

    It is empty if there is none: a script that is run, for one, is not imported.
    """
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - there is no other way to the frames
    while frame is not None:
        spec = frame.f_globals.get("__spec__")
        # The import system marks the module for as long as its code runs.
        if frame.f_code.co_name == "<module>" and getattr(spec, "_initializing", False):
            path = frame.f_code.co_filename
            short = os.path.relpath(path)
            return f"{path if short.startswith('..') else short} line {frame.f_lineno}"
        frame = frame.f_back
    return ""


def _explanation(line: str) -> str:
    return (
        f"{line} enqueues while being imported, which each process does that uses the module: do it"
        " in a function, or declare a startup task (@app.startup_task)."
    )
