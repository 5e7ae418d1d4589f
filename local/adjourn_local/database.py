"""The SQLite file of the laptop stack, in which each server keeps its own tables."""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

from adjourn_local.errors import StackError

_log = logging.getLogger(__name__)
_COMPANIONS = ("", "-wal", "-shm")
# https://sqlite.org/rescode.html: a locked file or a full disk is not damage.
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_PRIMARY = 0xFF


def connect(path: Path) -> sqlite3.Connection:
    """Open the state file; create it and its folder if missing.

    Each statement commits by itself unless the caller issues BEGIN. Only the thread that opens the
    connection may use it: threads that share one break each other's transactions. With write-ahead
    logging a second connection can read a stable snapshot while this one writes, and a killed
    process loses no commit although commits are not synced (https://sqlite.org/wal.html).

    Raises:
        StackError: The file cannot be opened or written.
        sqlite3.DatabaseError: The file exists but is not a SQLite database.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA busy_timeout = 5000")
        connection.executescript("BEGIN IMMEDIATE; COMMIT")
    except sqlite3.OperationalError as error:
        raise StackError(f"The state file {path} cannot be used: {error}.") from None
    return connection


def keep_aside_if_damaged(path: Path) -> Path | None:
    """Rename a damaged state file, together with its write-ahead log.

    Returns:
        The new path of the damaged file; None if it is not damaged.
    """
    damage = _damage(path)
    if damage is None:
        return None
    kept = _unused_name(path)
    for companion in _COMPANIONS:
        part = path.with_name(path.name + companion)
        if part.exists():
            part.rename(kept.with_name(kept.name + companion))
    _log.error(
        "The state file %s is damaged (%s). It was renamed to %s, and the stack starts with an"
        " empty one. `sqlite3 %s .recover` may recover its data.",
        *(path, damage, kept, kept),
    )
    return kept


def _damage(path: Path) -> str | None:
    """Return what is damaged in a file, or None."""
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(path)) as connection:
            found: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & _PRIMARY in _DAMAGED:
            return str(error)
        raise StackError(f"The state file {path} cannot be used: {error}.") from None
    return None if found == "ok" else " ".join(found.split())


def _unused_name(path: Path) -> Path:
    number = 1
    while (kept := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    return kept
