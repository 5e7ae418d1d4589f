"""A state file is checked at a start, unless it is as it was when it was closed in order."""

import os
import sqlite3
from contextlib import closing, suppress

import pytest

from adjourn_local.damage import checked
from adjourn_local.database import connect, mark_of

ROWS = 2000


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.db"


@pytest.fixture
def kept(path):
    return path.with_name("state.db.damaged-1")


def fill(path):
    """Write what takes up many pages, and close the file as a stack does."""
    with closing(connect(path)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS texts (text)")
        with connection.transaction():
            connection.executemany("INSERT INTO texts VALUES (?)", [("x" * 100,)] * ROWS)


def overwrite(path, *, later=True):
    """Overwrite pages in the middle of a file; its size stays."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xa5" * 8192)
    if later:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))


def count(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT count(*) FROM texts").fetchone()[0]


def test_a_file_that_is_as_it_was_closed_is_not_read(path, kept):
    with checked(path):
        fill(path)
        overwrite(path)  # as no check has found

    with checked(path):
        assert not kept.exists()


def test_a_file_that_was_overwritten_since_is_found(path, kept):
    with checked(path):
        fill(path)
    overwrite(path)

    with checked(path):
        assert kept.exists()
        assert not path.exists()


def test_a_file_whose_times_were_set_back_is_found(path, kept):
    with checked(path):
        fill(path)
    before = path.stat()
    overwrite(path)
    # The kernel sets the time of a change of the file's times, at ticks of some milliseconds.
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    with checked(path):
        assert kept.exists()


def test_a_file_that_was_not_closed_in_order_is_checked(path, kept):
    with checked(path):
        fill(path)
    crashed = checked(path)
    crashed.__enter__()
    overwrite(path)

    with checked(path):
        assert kept.exists()


def test_a_file_is_checked_after_a_start_that_failed(path, kept):
    with checked(path):
        fill(path)
        overwrite(path)
    with suppress(RuntimeError), checked(path):
        raise RuntimeError

    with checked(path):
        assert kept.exists()


def test_a_file_that_others_write_is_checked(path, kept):
    with checked(path):
        fill(path)
        other = sqlite3.connect(path)
        other.execute("INSERT INTO texts VALUES (1)")
        other.commit()
    other.close()
    overwrite(path)

    with checked(path):
        assert kept.exists()


def test_damage_that_shows_while_the_file_is_open_is_found_at_the_next_start(path, kept):
    with checked(path):
        fill(path)
    with checked(path):
        overwrite(path)
        with closing(connect(path)) as connection, pytest.raises(sqlite3.DatabaseError):
            connection.execute("SELECT count(*) FROM texts WHERE text = 'y'")

    with checked(path):
        assert kept.exists()


def test_a_file_in_order_stays_however_it_was_closed(path, kept):
    with checked(path):
        fill(path)
    checked(path).__enter__()
    fill(path)
    mark_of(path).unlink()

    with checked(path):
        assert not kept.exists()
        assert count(path) == 2 * ROWS


def test_the_mark_is_its_owners_alone(path):
    with checked(path):
        fill(path)
        assert mark_of(path).stat().st_mode & 0o777 == 0o600
