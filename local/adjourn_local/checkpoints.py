"""Write SQLite's log back into the state file, in a thread of its own and by the clock.

A commit only appends to the log. Writing it back takes two syncs of the disk, for which commits
would have to wait if they did it themselves (https://sqlite.org/wal.html#ckpt).
"""

import logging
import threading
from contextlib import closing
from pathlib import Path

from adjourn_local.database import Connection, connect, log_trouble
from adjourn_local.errors import StorageError

_log = logging.getLogger(__name__)

_SECONDS = 2.0
# Pages of 4 KiB. A killed stack reads its log at the next start, which takes 0.1 s for this many.
_LONG = 8000
# Milliseconds in which commits or readers may leave the log; they are how long a reader that stays
# can hold up commits.
_WAIT = 20


class Checkpointer:
    """Writes back the log of a state file until it is closed.

    Args:
        path: The state file, which exists.
        seconds: The time between two checkpoints.
        long: The length of the log, in pages, from which on commits wait until it begins anew.
    """

    def __init__(self, path: Path, *, seconds: float = _SECONDS, long: int = _LONG) -> None:
        self._path = path
        self._seconds = seconds
        self._long = long
        self._has_trouble = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="adjourn-checkpoints", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write back all of the log and remove it, unless somebody else still reads from it."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            with closing(connect(self._path)) as connection:
                connection.execute(f"PRAGMA busy_timeout = {_WAIT}")
                while not self._closing.wait(self._seconds):
                    self._try(connection)
                checkpoint(connection, "TRUNCATE")
        except StorageError as error:
            log_trouble(_log, error, "Its log is written back at the next start.")

    def _try(self, connection: Connection) -> None:
        try:
            # Writers go on meanwhile, so that hardly anything is left to do when they have to wait.
            if checkpoint(connection, "PASSIVE") >= self._long:
                checkpoint(connection, "RESTART")
        except StorageError as error:
            if not self._has_trouble:
                log_trouble(_log, error, "Its log grows until it can.")
            self._has_trouble = True
        else:
            self._has_trouble = False


def checkpoint(connection: Connection, mode: str) -> int:
    """Write back the log, as far as its readers allow, and return its length in pages.

    Args:
        connection: A connection.
        mode: https://sqlite.org/pragma.html#pragma_wal_checkpoint

    Raises:
        StorageError: The file cannot be written now.
    """
    _, length, _ = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
    return int(length)
