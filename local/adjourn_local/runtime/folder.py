"""The folder of a stack's state, which only one stack can use at a time."""

import fcntl
import shutil
import tempfile
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType

from adjourn_local.errors import StackError


class StateFolder:
    """The folder of a stack's state; a temporary one, removed at the end, if `path` is None.

    Raises:
        StackError: Another stack uses the folder, or it cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = None if path is None else _lock(path)

    def __enter__(self) -> Path:
        if self._path is None:
            self._temporary = Path(tempfile.mkdtemp(prefix="adjourn-"))
            return self._temporary
        return self._path

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._lock is None:
            shutil.rmtree(self._temporary, ignore_errors=True)
        else:
            self._lock.close()


def _lock(folder: Path) -> TextIOWrapper:
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
