"""Import the application that a command works on."""

import sys
from pathlib import Path

from adjourn import App
from adjourn.application.loading import load_app
from adjourn.errors import AdjournError
from adjourn_local.errors import UsageError
from adjourn_local.runtime.import_errors import describe


def import_app(spec: str, folder: Path) -> App:
    """Return the application `package.module:app`, imported from a folder.

    Raises:
        AdjournError: It does not exist, or one of its declarations is invalid.
        UsageError: None is named, or its code raises an error on import; the message says where
            and which.
    """
    if not spec:
        raise UsageError("No application is named: give package.module:app, or set ADJOURN_APP.")
    source = folder.resolve()
    sys.path.insert(0, str(source))
    try:
        return load_app({"ADJOURN_APP": spec})
    except AdjournError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - any error of the application
        raise UsageError(describe(error, spec, source)) from None
