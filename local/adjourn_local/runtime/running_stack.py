"""Which stacks run: each leaves a file in the folder in which it was started.

The file is locked as long as the stack runs, so that one left by a killed stack is recognised.
Those of other users are not looked at: in a folder that all may write they could lead to their
code.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from adjourn_local.private import make_private, make_private_folder

_FOLDER = Path(".adjourn") / "stacks"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningStack:
    """A stack that runs.

    Attributes:
        app: Its application, as `package.module:app`.
        source: The folder from which the application is imported.
        folder: The folder in which the stack was started.
        ports: Its five ports: gRPC, HTTP, deferred, cron, queryiter.
        environment: The variables that lead to it.
        state: Its state folder, in which its log is; None if it keeps no state.
    """

    app: str
    source: str
    folder: str
    ports: Sequence[int]
    environment: Mapping[str, str]
    state: str | None = None

    @classmethod
    def here(
        cls,
        app: str,
        source: Path,
        ports: Sequence[int],
        environment: Mapping[str, str],
        state: Path | None = None,
    ) -> Self:
        """Return a stack that was started in the current folder."""
        return cls(
            app=app,
            source=str(source.resolve()),
            folder=str(Path.cwd()),
            ports=ports,
            environment=environment,
            state=str(state.resolve()) if state else None,
        )

    @property
    def url(self) -> str:
        """The base URL of its HTTP port."""
        return f"http://127.0.0.1:{self.ports[1]}"

    def __str__(self) -> str:
        return f"port {self.ports[0]}: {self.app}, started in {self.folder}"


@contextmanager
def announced(stack: RunningStack) -> Iterator[None]:
    """Let commands find a stack while the context is open.

    Raises:
        OSError: Its folder cannot be written.
    """
    place = Path(stack.folder) / _FOLDER
    make_private_folder(place)
    file = place / f"{os.getpid()}.json"
    draft = file.with_suffix(".draft")
    try:
        make_private(draft)
        with draft.open("w", encoding="utf-8") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX)
            json.dump(asdict(stack), opened, indent=2)
            opened.flush()
            draft.rename(file)  # when it is whole and locked
            yield
    finally:
        file.unlink(missing_ok=True)
        draft.unlink(missing_ok=True)
        with suppress(OSError):  # others are in it
            place.rmdir()
            place.parent.rmdir()


def find(folder: Path) -> Sequence[RunningStack]:
    """Return the stacks that were started in a folder, or in the nearest one above with any."""
    start = folder.resolve()
    for each in (start, *start.parents):
        files = sorted((each / _FOLDER).glob("*.json"))
        stacks = [stack for file in files if (stack := _read(file)) is not None]
        if stacks:
            return stacks
    return []


def _read(file: Path) -> RunningStack | None:
    """Return the stack of a file; None if it does not run any more."""
    try:
        if not is_own(file):
            return None
        with file.open(encoding="utf-8") as opened:
            if not _is_locked(opened.fileno()):
                file.unlink(missing_ok=True)
                return None
            return RunningStack(**json.load(opened))
    except (OSError, TypeError, ValueError):  # somebody else's, or of another version
        return None


def is_own(file: Path) -> bool:
    """Return whether a file and its folder belong to the user of this process."""
    return file.stat().st_uid == file.parent.stat().st_uid == os.geteuid()


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
