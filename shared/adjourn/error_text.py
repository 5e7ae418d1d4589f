"""Texts of errors: of what an application raises, as it can be stored, and of a wrong name."""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Callable, Iterable

TO_RENAME = "Begin the name of what is your own with an underscore."


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


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like one that is not known; None if none is."""
    spelled = {_bare(each): each for each in known}
    near = difflib.get_close_matches(_bare(name), spelled, n=1, cutoff=0.8)
    return spelled[near[0]] if near else None


def misspelled(name: str, what: str, meant: str) -> str:
    """Return what to say of a name that has no effect, such as `Reprice.on_finish`."""
    return f"{name}: there is no such {what}; did you mean {meant}? {TO_RENAME}"


def _bare(name: str) -> str:
    # handleEntry, cronname and batch-size are meant to be handle_entry, cron_name and batch_size.
    return name.lower().replace("_", "").replace("-", "")
