import signal
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from adjourn_local.checkpoints import Checkpointer, checkpoint
from adjourn_local.database import connect

PAGE = 4096
LONG = 50
WRITER = """
import sys
from pathlib import Path
from adjourn_local.checkpoints import Checkpointer
from adjourn_local.database import connect

path = Path(sys.argv[1])
connection = connect(path)
connection.execute("CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, data BLOB)")
Checkpointer(path, seconds=0.001, long=20)
(number,) = connection.execute("SELECT coalesce(max(n), 0) FROM t").fetchone()
while True:
    number += 1
    connection.execute("INSERT INTO t VALUES (?, zeroblob(3000))", (number,))
    print(number, flush=True)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.db"


@pytest.fixture
def connection(path):
    with closing(connect(path)) as connection:
        connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, data BLOB)")
        yield connection


def write(connection, pages=1):
    for _ in range(pages):
        connection.execute("INSERT INTO t (data) VALUES (zeroblob(?))", (PAGE,))


def log_of(path):
    return path.with_name(path.name + "-wal")


def beginnings(path):
    """Return how often the log has begun anew, https://sqlite.org/fileformat.html#walformat."""
    with log_of(path).open("rb") as log:
        return int.from_bytes(log.read(16)[12:])


def written_until(connection, condition):
    """Write until a condition holds, as clients that never rest do."""
    for _ in range(200_000):
        write(connection)
        if condition():
            return
    raise AssertionError("it did not come to that")


def test_a_commit_leaves_the_log_to_the_checkpointer(connection, path):
    before = path.stat().st_size
    write(connection, 3000)
    assert path.stat().st_size == before

    with closing(connect(path)) as other:
        assert checkpoint(other, "PASSIVE") > 3000

    assert path.stat().st_size > 3000 * PAGE


def test_the_log_is_written_back_while_nobody_stops_writing(connection, path):
    before = path.stat().st_size
    with closing(Checkpointer(path, seconds=0.001, long=LONG)):
        written_until(connection, lambda: path.stat().st_size > before + 10 * LONG * PAGE)


def test_the_log_begins_anew_while_nobody_stops_writing(connection, path):
    write(connection)
    begun = beginnings(path)
    with closing(Checkpointer(path, seconds=0.001, long=LONG)):
        written_until(connection, lambda: beginnings(path) > begun + 2)


def test_a_reader_that_stays_does_not_hold_up_commits(connection, path):
    with closing(connect(path)) as reader, closing(Checkpointer(path, seconds=0.1, long=1)):
        reader.execute("BEGIN")
        (seen,) = reader.execute("SELECT count(*) FROM t").fetchone()
        connection.execute("PRAGMA busy_timeout = 1000")
        write(connection, 2000)

        assert reader.execute("SELECT count(*) FROM t").fetchone() == (seen,)


def test_in_the_end_no_log_is_left(connection, path):
    checkpointer = Checkpointer(path)
    write(connection, 10)
    assert log_of(path).stat().st_size > 0
    connection.close()
    checkpointer.close()

    assert not log_of(path).exists()


def test_a_file_that_cannot_be_opened_is_said_and_ends_nothing(tmp_path, caplog):
    Checkpointer(tmp_path).close()

    assert "cannot be used" in caplog.text


def test_threads_end_with_their_file(connection, path):
    before = {*threading.enumerate()}  # stacks of other tests may be open
    with closing(Checkpointer(path)):
        write(connection)
        assert [each.name for each in {*threading.enumerate()} - before] == ["adjourn-checkpoints"]
    assert not {*threading.enumerate()} - before


def test_kill_nine_amid_checkpoints_loses_nothing(path: Path) -> None:
    kept = 0
    for length in (1, 3, 40, 100, 700):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=-1) as writer:
            acknowledged = kept + length
            assert writer.stdout is not None
            while kept < acknowledged:
                kept = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            kept = int((writer.stdout.read().splitlines() or [b"%d" % kept])[-1])
        with closing(connect(path)) as connection:
            found = [number for (number,) in connection.execute("SELECT n FROM t ORDER BY n")]
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert found == list(range(1, len(found) + 1))
        assert len(found) in {kept, kept + 1}  # the last one may not have been said any more
        kept = len(found)
