"""Which stack runs: a file in its state folder, by which commands find it."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from adjourn_local.private import make_private

_FILE = "running.json"
_LOCK = "lock"
DEFAULT_FOLDER = ".adjourn"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningStack:
    """A stack that runs.

    Attributes:
        app: Its application, as `package.module:app`.
        source: The folder from which the application is imported.
        environment: The variables that lead to the stack.
    """

    app: str
    source: str
    environment: Mapping[str, str]


@contextmanager
def announced(folder: Path, stack: RunningStack) -> Iterator[None]:
    """Let commands find a stack by its state folder, while the context is open."""
    file = folder / _FILE
    make_private(file)
    file.write_text(json.dumps(asdict(stack), indent=2), encoding="utf-8")
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def find(folder: Path) -> tuple[Path, RunningStack] | None:
    """Return the stack that runs with a state folder here or in a folder above, and that folder.

    A stack that was killed has left its file behind, but not its lock.
    """
    for place in (folder.resolve(), *folder.resolve().parents):
        state = place / DEFAULT_FOLDER
        if _is_own(state / _FILE) and _is_locked(state / _LOCK):
            with suppress(OSError, TypeError, ValueError):
                content = json.loads((state / _FILE).read_text(encoding="utf-8"))
                return state, RunningStack(**content)
    return None


def _is_own(file: Path) -> bool:
    """Return whether a file is this user's: another one could lead to code of his."""
    try:
        return file.stat().st_uid == file.parent.stat().st_uid == os.geteuid()
    except OSError:
        return False


def _is_locked(file: Path) -> bool:
    try:
        with file.open(encoding="utf-8") as opened:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False
