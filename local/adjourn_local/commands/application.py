"""Import the application that a command works on."""

import sys
import traceback
from pathlib import Path

from adjourn import App
from adjourn.application.loading import load_app
from adjourn.errors import AdjournError
from adjourn_local.errors import UsageError


def import_app(spec: str, folder: Path) -> App:
    """Return the application `package.module:app`, imported from a folder.

    Raises:
        AdjournError: It does not exist, or one of its declarations is invalid.
        UsageError: None is named, or its code raises an error on import; the message says where
            and which.
    """
    if not spec:
        raise UsageError("No application is named: give package.module:app, or set ADJOURN_APP.")
    source = str(folder.resolve())
    sys.path.insert(0, source)
    try:
        return load_app({"ADJOURN_APP": spec})
    except AdjournError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - any error of the application
        raise UsageError(f"{spec} cannot be imported: {_describe(error, source)}") from None


def _describe(error: BaseException, source: str) -> str:
    """Describe an error in one line, with the line of the application that raised it."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    if isinstance(error, SyntaxError):
        return text  # which names the line
    frames = traceback.extract_tb(error.__traceback__)
    own = [each for each in frames if each.filename.startswith(source)] or frames
    return f"{text} ({own[-1].filename}, line {own[-1].lineno})"
