"""Find and import the application that a command works on."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from adjourn.errors import AdjournError
from adjourn_local.errors import UsageError
from adjourn_local.runtime.import_errors import describe

if TYPE_CHECKING:
    from adjourn import App


def add_app(parser: argparse.ArgumentParser) -> None:
    """Add `--app`."""
    parser.add_argument(
        "--app",
        default="",
        metavar="package.module:app",
        help="the application (default: ADJOURN_APP, else that of the laptop stack)",
    )


def chosen(options: argparse.Namespace) -> tuple[str, Path]:
    """Return the application of `--app`, of the environment or of the laptop stack, and its folder.

    The name is empty if there is none.
    """
    named = options.app or os.environ.get("ADJOURN_APP", "")
    if not named and options.running:
        return options.running.app, Path(options.running.source)
    return named, Path()


def locate(named: str, folder: Path) -> tuple[str, Path]:
    """Return an application as `package.module:app`, and the folder to import it from.

    Args:
        named: `package.module:app`, or a file such as `~/shop/tasks.py:app`; for a file `:app` can
            be left out. A file in a package belongs to the outermost package.
        folder: From where a module is imported and a relative path starts.

    Raises:
        UsageError: There is no such file, or it cannot be imported by its name.
    """
    path, _, attribute = named.partition(":")
    if os.sep not in path and not path.endswith(".py"):
        return named, folder
    file = (folder / Path(path).expanduser()).resolve()
    if not file.is_file():
        raise UsageError(f"There is no file {file}; name a module as package.module:app.")
    source = file.parent
    while (source / "__init__.py").is_file():
        source = source.parent
    names = [part for part in file.relative_to(source).with_suffix("").parts if part != "__init__"]
    if not (names and all(name.isidentifier() for name in names)):
        raise UsageError(f"{file} cannot be imported: {'.'.join(names)!r} is not a module's name.")
    return f"{'.'.join(names)}:{attribute or 'app'}", source


def import_app(named: str, folder: Path) -> "App":
    """Return an application, which is named as for `locate`.

    Raises:
        AdjournError: It does not exist, or one of its declarations is invalid.
        UsageError: None is named, or its code raises an error on import; the message says where
            and which.
    """
    if not named:
        raise UsageError("No application is named: give package.module:app, or set ADJOURN_APP.")
    spec, folder = locate(named, folder)
    source = folder.resolve()
    from adjourn.application.loading import load_app  # noqa: PLC0415 - for those who load one

    sys.path.insert(0, str(source))
    try:
        return load_app({"ADJOURN_APP": spec})
    except AdjournError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - any error of the application
        raise UsageError(describe(error, spec, source)) from None
