"""What an exception says, as text that can be stored, whatever an application raises."""

from __future__ import annotations

import traceback
from collections.abc import Callable


def said(error: BaseException, longest: int) -> str:
    """Return type and message of an exception, cut to so many bytes of UTF-8."""
    message = _had(lambda: str(error))
    return _bytes(f"{type(error).__name__}: {message}")[:longest].decode(errors="ignore")


def traced(error: BaseException, longest: int) -> str:
    """Return the traceback of an exception, of which so many bytes at the end are kept."""
    text = _had(lambda: "".join(traceback.format_exception(error)))
    return _bytes(text)[-longest:].decode(errors="ignore")


def _had(text: Callable[[], str]) -> str:
    try:
        return text()
    except Exception as another:  # noqa: BLE001 - an application's __str__ must not cost the record
        return f"(what it says cannot be had: {type(another).__name__})"


def _bytes(text: str) -> bytes:
    # A file's name may have lone surrogates, which Datastore does not take.
    return text.encode(errors="backslashreplace")
