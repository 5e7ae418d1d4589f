"""The folder in which a stack keeps its state, and which no two stacks may share."""

import fcntl
from io import TextIOWrapper
from pathlib import Path

from adjourn_local.errors import StackError


def take(folder: Path) -> TextIOWrapper:
    """Return an open file; until it is closed, or this process ends, nobody else gets the folder.

    Raises:
        StackError: Another stack has it, or nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("a", encoding="utf-8")
    except FileExistsError:
        raise StackError(f"No state can be kept in {folder}: it is not a folder.") from None
    except OSError as error:
        raise StackError(f"No state can be kept in {folder}: {error.strerror}.") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise StackError(
            f"Another stack keeps its state in {folder}; stop it, or name another with --state."
        ) from None
    return file
