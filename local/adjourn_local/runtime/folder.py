"""The folder of a stack's state: only one stack can use it at a time, and only its owner see it."""

import fcntl
import logging
import shutil
import tempfile
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType

from adjourn_local.errors import StackError
from adjourn_local.private import make_private, make_private_folder

_LOCK = "lock"
_IGNORED = ".gitignore"
_IGNORE_ALL = "# The state of a laptop stack, which is not for a repository.\n*\n"
# What earlier versions, which marked no folder as theirs, have kept in it; and what tells of stacks
# without a state.
_UNMARKED = ("adjourn.sqlite3*", "demo.log", _LOCK, "ports.json", "stacks")

_log = logging.getLogger(__name__)


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
        _prepare(folder)
        file = (folder / _LOCK).open("a", encoding="utf-8")
    except (FileExistsError, NotADirectoryError):
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


def _prepare(folder: Path) -> None:
    """Keep a folder and what is in it to its owner and out of repositories.

    A folder that has other files in it, such as a project's, is left as it is, but for our files.
    """
    if _is_ours(folder):
        make_private_folder(folder)
        ignored = folder / _IGNORED
        if not ignored.exists():
            ignored.write_text(_IGNORE_ALL, encoding="utf-8")
        files = list(folder.iterdir())
    else:
        _log.warning("%s has other files in it; only those of the state are made private.", folder)
        files = [file for pattern in _UNMARKED for file in folder.glob(pattern)]
    for file in files:
        if file.is_file():
            make_private(file)
    make_private(folder / _LOCK)


def _is_ours(folder: Path) -> bool:
    if not folder.exists():
        return True
    if (folder / _IGNORED).exists():
        return (folder / _IGNORED).read_text(errors="replace") == _IGNORE_ALL
    return all(any(file.match(each) for each in _UNMARKED) for file in folder.iterdir())
