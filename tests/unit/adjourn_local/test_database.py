"""The state file, where it cannot be one or cannot be written."""

import pytest

from adjourn_local.damage import keep_aside_if_damaged
from adjourn_local.database import connect
from adjourn_local.errors import StorageError


@pytest.mark.parametrize(
    ("use", "reason"),
    [(connect, "Is a directory"), (keep_aside_if_damaged, "unable to open database file")],
)
def test_a_file_that_cannot_be_opened_is_said(tmp_path, use, reason):
    with pytest.raises(StorageError) as caught:
        use(tmp_path)

    assert str(caught.value) == f"The state file {tmp_path} cannot be used: {reason}."


@pytest.fixture
def connection(tmp_path):
    connection = connect(tmp_path / "file")
    connection.execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY)")
    yield connection
    connection.close()


def test_a_file_that_cannot_be_written_now_is_said_and_nothing_stays_open(connection):
    connection.execute("PRAGMA query_only = 1")

    with pytest.raises(StorageError, match="attempt to write a readonly database"):
        connection.execute("INSERT INTO numbers VALUES (1)")
    with pytest.raises(StorageError), connection.transaction():
        connection.executemany("INSERT INTO numbers VALUES (?)", [(1,), (2,)])
    connection.execute("PRAGMA query_only = 0")

    with connection.transaction():
        connection.execute("INSERT INTO numbers VALUES (3)")
    assert connection.execute("SELECT * FROM numbers").fetchall() == [(3,)]


@pytest.mark.parametrize("pages", range(3, 8))
def test_wherever_the_space_ends_a_transaction_is_whole_or_nothing(connection, pages):
    connection.execute(f"PRAGMA max_page_count = {pages}")
    stored = 0

    def store():
        nonlocal stored
        for _ in range(100):
            with connection.transaction():
                numbers = ((number,) for number in range(stored, stored + 300))
                connection.executemany("INSERT INTO numbers VALUES (?)", numbers)
            stored += 300

    with pytest.raises(StorageError, match="full"):
        store()

    assert connection.execute("SELECT count(*) FROM numbers").fetchone() == (stored,)
    with connection.transaction():
        connection.execute("DELETE FROM numbers")


def test_a_wrong_statement_is_no_trouble_of_the_file(connection):
    with pytest.raises(Exception, match="no such table") as caught:
        connection.execute("SELECT * FROM absent")

    assert not isinstance(caught.value, StorageError)
