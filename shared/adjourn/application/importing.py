"""Whether the application is being imported, when nothing may be enqueued yet."""

from __future__ import annotations

import os
import sys
from contextvars import ContextVar
from types import FrameType

from adjourn.concurrency import Scoped

_is_loading: ContextVar[bool] = ContextVar("adjourn_is_loading", default=False)


def loading() -> Scoped[bool]:
    """Mark the time, in a `with` block, in which a process loads its application."""
    return Scoped(_is_loading, value=True)


def is_loading() -> bool:
    """Whether this process is loading its application."""
    return _is_loading.get()


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


def explanation(line: str) -> str:
    """Return why a line of a module must not enqueue, and what to write instead."""
    return (
        f"{line} enqueues while being imported, which each process does that uses the module: do it"
        " in a function, or declare a startup task (@app.startup_task)."
    )
