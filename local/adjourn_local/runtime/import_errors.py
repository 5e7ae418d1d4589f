"""Describe in one line why an application cannot be imported."""

import traceback
from pathlib import Path

from adjourn.errors import AdjournError


def describe(error: BaseException, spec: str, folder: Path) -> str:
    """Return an error with the line of the application that raised it, if one did.

    Args:
        error: The error, or the SystemExit of a function that explains why it cannot start.
        spec: The import path of the application, `package.module:app`.
        folder: The application's folder.
    """
    if isinstance(error, SystemExit) and isinstance(error.__context__, AdjournError):
        place = _place(error.__context__, folder)
        return f"{error.code}{'' if ' line ' in str(error.code) else place}"
    text = " ".join(f"{type(error).__name__}: {error}".split())
    place = "" if isinstance(error, SyntaxError) else _place(error, folder)
    return f"{spec} cannot be imported: {text}{place}"


def _place(error: BaseException, folder: Path) -> str:
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(folder) and "site-packages" not in frame.filename
    ]
    return f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
