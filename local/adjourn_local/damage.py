"""Check the state file for damage before it is used, unless it was closed in order since.

A check reads all of the file, which takes a second for a million entities. So a file beside it, the
mark, says how the file looked when it was closed; while it is open, and after a crash, it does not.
"""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from adjourn_local.database import PARTS, is_damage, mark_of, unusable
from adjourn_local.private import make_private

_log = logging.getLogger(__name__)

_OPEN = "open"


@contextmanager
def checked(path: Path) -> Iterator[None]:
    """Keep a damaged state file aside, and mark it at the end of the context.

    By then it must be closed. It is not marked if the context ends with an error, or if a
    connection has come upon damage.

    Raises:
        StorageError: The file cannot be read, or its folder not written.
    """
    mark = mark_of(path)
    try:
        if not mark.exists() or mark.read_text(encoding="utf-8") != _look(path):
            keep_aside_if_damaged(path)
        if path.parent.exists():
            make_private(mark)
            mark.write_text(_OPEN, encoding="utf-8")
    except OSError as error:
        raise unusable(path, error) from None
    yield
    with suppress(OSError):  # then it is checked
        if mark.exists():
            mark.write_text(_look(path) or _OPEN, encoding="utf-8")


def _look(path: Path) -> str | None:
    """Return what changes with the state file; None if there is none, or one with an open log."""
    if not path.exists() or path.with_name(f"{path.name}-wal").exists():
        return None
    found = path.stat()
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"


def keep_aside_if_damaged(path: Path) -> Path | None:
    """Rename a damaged state file, together with its write-ahead log.

    Returns:
        The new path of the damaged file; None if it is not damaged.

    Raises:
        StorageError: It cannot be read or renamed.
    """
    damage = _damage(path)
    if damage is None:
        return None
    kept = _unused_name(path)
    for part in PARTS:
        file = path.with_name(path.name + part)
        if file.exists():
            file.rename(kept.with_name(kept.name + part))
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
        if is_damage(error):
            return str(error)
        raise unusable(path, error) from None
    return None if found == "ok" else " ".join(found.split())


def _unused_name(path: Path) -> Path:
    number = 1
    while (kept := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    return kept
