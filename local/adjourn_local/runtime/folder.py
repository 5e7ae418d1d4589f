"""Lock the state folder, so that no two stacks use it at once."""

import fcntl
from io import TextIOWrapper
from pathlib import Path

from adjourn_local.errors import StackError


def lock_folder(folder: Path) -> TextIOWrapper:
    """Lock a folder until the returned file is closed or this process ends.

    Raises:
        StackError: Another stack has locked it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("a", encoding="utf-8")
    except FileExistsError:
        raise StackError(f"The state cannot be kept in {folder}: it is not a folder.") from None
    except OSError as error:
        raise StackError(f"The state cannot be kept in {folder}: {error.strerror}.") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise StackError(
            f"Another stack keeps its state in {folder}; stop it, or name another with --state."
        ) from None
    return file
