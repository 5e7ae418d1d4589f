"""Import the application that a command is about."""

import sys
import traceback
from pathlib import Path

from adjourn import App
from adjourn.application.loading import load_app
from adjourn.errors import AdjournError
from adjourn_local.commands.arguments import UsageError


def import_app(spec: str, folder: Path) -> App:
    """Return the application `package.module:app`, imported from a folder.

    Raises:
        AdjournError: It is not there, or declares what cannot be.
        UsageError: Its own code fails when it is imported; the message says where and how.
    """
    source = str(folder.resolve())
    sys.path.insert(0, source)
    try:
        return load_app({"ADJOURN_APP": spec})
    except AdjournError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever somebody's code raises
        raise UsageError(f"{spec} cannot be imported: {_told(error, source)}") from None


def _told(error: BaseException, source: str) -> str:
    """Return in one line what was raised, and by which line of the application."""
    said = " ".join(f"{type(error).__name__}: {error}".split())
    if isinstance(error, SyntaxError):
        return said  # and where
    frames = traceback.extract_tb(error.__traceback__)
    own = [each for each in frames if each.filename.startswith(source)] or frames
    return f"{said} ({own[-1].filename}, line {own[-1].lineno})"
