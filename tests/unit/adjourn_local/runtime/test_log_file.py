import datetime as dt
import logging

import pytest

from adjourn_local.runtime.log_file import LogFile, LogReader
from adjourn_local.runtime.log_lines import LogLine

AT = dt.datetime(2026, 11, 29, 14, 3, 27, tzinfo=dt.UTC)


def line(number):
    return LogLine(at=AT, source="deferred", message=f"line {number}", fields={"task": "t"})


@pytest.fixture
def file(tmp_path):
    file = LogFile(tmp_path, longest=2000)
    yield file
    file.close()


@pytest.fixture
def reader(tmp_path):
    reader = LogReader(tmp_path)
    yield reader
    reader.close()


def test_what_is_written_is_read_once_and_in_order(file, reader):
    assert list(reader.read()) == []
    for number in range(3):
        file.write(line(number))
    assert list(reader.read()) == [line(n) for n in range(3)]
    assert list(reader.read()) == []
    file.write(line(3))
    assert list(reader.read()) == [line(3)]


def test_a_full_file_is_followed_into_the_next_one(file, reader):
    seen = []
    for number in range(100):
        file.write(line(number))
        seen += reader.read()

    assert seen == [line(n) for n in range(100)]


def test_the_log_is_bounded_and_private(file, reader, tmp_path):
    for number in range(1000):
        file.write(line(number))

    files = sorted(tmp_path.glob("adjourn.log*"))
    assert [each.name for each in files] == ["adjourn.log", "adjourn.log.1", "adjourn.log.2"]
    assert all(each.stat().st_size <= 2000 for each in files)
    assert {each.stat().st_mode & 0o777 for each in files} == {0o600}
    read = list(reader.read())
    assert read == [line(n) for n in range(1000 - len(read), 1000)]
    assert len(read) > 20


def test_half_a_line_is_read_when_it_is_whole(file, reader, tmp_path):
    file.write(line(0))
    text = line(1).to_json()
    with (tmp_path / "adjourn.log").open("a") as other:
        other.write(text[:10])
        other.flush()
        assert list(reader.read()) == [line(0)]
        other.write(f"{text[10:]}\n")
    assert list(reader.read()) == [line(1)]


def test_a_damaged_line_is_left_out(file, reader, tmp_path):
    file.write(line(0))
    with (tmp_path / "adjourn.log").open("ab") as other:
        other.write(b'{"half": \n\xff\n')
    file.write(line(1))

    assert list(reader.read()) == [line(0), line(1)]


def test_a_log_that_cannot_be_written_is_said_once(tmp_path, caplog, capsys):
    (tmp_path / "adjourn.log").mkdir()
    file = LogFile(tmp_path)

    with caplog.at_level(logging.WARNING):
        for number in range(3):
            file.write(line(number))
    file.close()

    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith(f"{tmp_path}/adjourn.log cannot be written: ")
    assert capsys.readouterr() == ("", "")
