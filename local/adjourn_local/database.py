"""The SQLite file of the laptop stack, in which each server keeps its own tables."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from adjourn_local.errors import StorageError
from adjourn_local.private import make_private

# What the names of the files end with that SQLite keeps.
PARTS = ("", "-wal", "-shm")
# Pages of 4 KiB, after which a commit writes the log back by itself: where no `Checkpointer` does.
_LONGEST_LOG = 1 << 16
# https://sqlite.org/rescode.html: a locked file or a full disk is not damage.
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
}
_PRIMARY = 0xFF
TROUBLE = "state_unavailable"


class Connection(sqlite3.Connection):
    """A connection that says in a `StorageError` when the file cannot be used now.

    When it comes upon damage, the file is checked at the next start.
    """

    path: Path

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        """Execute a statement.

        Raises:
            StorageError: The file cannot be used now.
        """
        try:
            return super().execute(*arguments)
        except sqlite3.DatabaseError as error:
            raise self._explained(error) from None

    def executemany(self, *arguments: Any) -> sqlite3.Cursor:
        """Execute a statement with each of several sets of values, as `execute` does."""
        try:
            return super().executemany(*arguments)
        except sqlite3.DatabaseError as error:
            raise self._explained(error) from None

    def executescript(self, script: str) -> sqlite3.Cursor:
        """Execute several statements, as `execute` does."""
        try:
            return super().executescript(script)
        except sqlite3.DatabaseError as error:
            raise self._explained(error) from None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Execute all statements of a block, or none.

        Raises:
            StorageError: The file cannot be used now; nothing was written.
        """
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            self.roll_back()
            raise

    def roll_back(self) -> None:
        """End a transaction without effect, unless an error has ended it already."""
        if self.in_transaction:
            super().execute("ROLLBACK")

    def _explained(self, error: sqlite3.DatabaseError) -> Exception:
        if is_damage(error):
            distrust(self.path)
        if _code(error) in _UNAVAILABLE:
            return unusable(self.path, error)
        return error


def log_trouble(log: logging.Logger, error: StorageError, consequence: str) -> None:
    """Log in one line that the state cannot be used, and what follows from that."""
    log.error("%s %s", error, consequence, extra={"event": TROUBLE})


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether an error says that a file is damaged or no database."""
    return _code(error) in _DAMAGE


def _code(error: sqlite3.DatabaseError) -> int:
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY  # SQLite itself has raised only some


def mark_of(path: Path) -> Path:
    """Return the file that says when a state file needs no check; see `adjourn_local.damage`."""
    return path.with_name(f"{path.name}.unchanged")


def distrust(path: Path) -> None:
    """Have a state file checked at the next start, however this one ends."""
    with suppress(OSError):
        mark_of(path).unlink(missing_ok=True)


def unusable(path: Path, error: OSError | sqlite3.Error) -> StorageError:
    """Return the error that says why a state file cannot be used."""
    reason = error.strerror if isinstance(error, OSError) else error
    return StorageError(f"The state file {path} cannot be used: {reason}.")


def connect(path: Path) -> Connection:
    """Open the state file; create it and its folder if missing. Only its owner may read it.

    Each statement commits by itself unless the caller issues BEGIN. Only the thread that opens the
    connection may use it: threads that share one break each other's transactions. With write-ahead
    logging a second connection can read a stable snapshot while this one writes, and a killed
    process loses no commit although commits are not synced (https://sqlite.org/wal.html).

    Raises:
        StorageError: The file cannot be opened or written.
        sqlite3.DatabaseError: The file exists but is not a SQLite database.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for part in PARTS:
            make_private(path.with_name(path.name + part), create=not part)
        connection = sqlite3.connect(path, isolation_level=None, factory=Connection)
        connection.path = path
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA busy_timeout = 5000")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_LONGEST_LOG}")
        connection.executescript("BEGIN IMMEDIATE; COMMIT")
    except (OSError, sqlite3.OperationalError) as error:
        raise unusable(path, error) from None
    return connection
