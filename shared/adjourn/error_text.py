"""The text of an exception, as it can be stored, whatever an application raises."""

from __future__ import annotations

import traceback
from collections.abc import Callable


def error_line(error: BaseException, longest: int) -> str:
    """Return type and message of an exception, cut to `longest` bytes of UTF-8."""
    message = safely(lambda: str(error))
    return _bytes(f"{type(error).__name__}: {message}")[:longest].decode(errors="ignore")


def traceback_text(error: BaseException, longest: int) -> str:
    """Return the last `longest` bytes of the traceback of an exception."""
    text = safely(lambda: "".join(traceback.format_exception(error)))
    return _bytes(text)[-longest:].decode(errors="ignore")


def safely(text: Callable[[], str]) -> str:
    """Return what a function returns, or that it failed."""
    try:
        return text()
    except Exception as another:  # noqa: BLE001 - a failing __str__ must not prevent the record
        return f"(its text cannot be made: {type(another).__name__})"


def _bytes(text: str) -> bytes:
    # File names may contain lone surrogates, which Datastore refuses.
    return text.encode(errors="backslashreplace")
