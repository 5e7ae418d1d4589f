"""The one SQLite file in which every server of the laptop stack keeps its own tables."""

import sqlite3
from pathlib import Path


def connect(path: Path) -> sqlite3.Connection:
    """Open the state file, creating it and its folder if missing.

    Statements commit one by one unless the caller issues BEGIN: group what belongs together.
    Write-ahead logging lets a second connection read a stable snapshot while this one writes, and
    survives a killed process without a sync for each commit (https://sqlite.org/wal.html).

    Raises:
        sqlite3.DatabaseError: The file exists but is not a SQLite database.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA busy_timeout = 5000")
    return connection
