"""What earlier versions have stored of windows is read for ever."""

import datetime as dt
import json
from pathlib import Path

import pytest

from adjourn.debounce.window import Stamp, Window
from adjourn.debounce.window_records import KIND, Noted, WindowRecords, WindowState
from adjourn.errors import ConflictError, DecodeError
from adjourn.ports import RecordKey
from tests.golden_records import record, text

GOLDEN = Path(__file__).parent / "golden"
NOON = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
WINDOW = Window(
    key="0b1c",
    generation=2,
    wait=10.0,
    longest=60.0,
    first=Stamp(NOON, "7f3a"),
    is_throttle=True,
)
NOTED = Noted(Stamp(NOON, "7f3b"), b'{"v":1}')
NAMES = {"state": "0b1c", "note": "0b1c-2-16", "closed": "0b1c-2"}


@pytest.fixture
def records(box):
    box.travel(to=NOON)
    return WindowRecords(adapters=box.wiring.adapters)


def write(records):
    """Write a record of each sort."""
    store = records.adapters.store
    for _ in range(2):
        records.skip(WINDOW._replace(generation=records.state("0b1c").generation))
    store.delete_many([RecordKey(KIND, "0b1c-0"), RecordKey(KIND, "0b1c-1")])
    records.open(WINDOW, "projects/p/tasks/t")
    records.note(WINDOW, NOTED)
    assert records.close(WINDOW, "projects/p/tasks/next")
    assert records.choose(WINDOW, NOTED) == NOTED.body


@pytest.mark.parametrize("name", NAMES)
def test_a_golden_record_is_written_for_ever(records, name):
    write(records)

    (found,) = records.adapters.store.get([RecordKey(KIND, NAMES[name])])

    assert text(found) == (GOLDEN / f"{name}.json").read_text()


def test_golden_records_are_read_for_ever(records):
    for name, key in NAMES.items():
        golden = record((GOLDEN / f"{name}.json").read_text())
        records.adapters.store.put(RecordKey(KIND, key), golden)

    assert records.state("0b1c") == WindowState(3, "projects/p/tasks/next", 3, NOTED.stamp)
    assert records.latest(WINDOW) == NOTED
    assert records.close(WINDOW)
    assert records.choose(WINDOW, None) == NOTED.body


def test_every_golden_record_is_tested():
    assert {path.stem for path in GOLDEN.iterdir()} == NAMES.keys()


def test_a_call_that_was_taken_is_not_taken_again(records):
    assert records.choose(WINDOW, NOTED) == NOTED.body

    following = WINDOW._replace(generation=3)
    assert records.choose(following, NOTED) == b""
    assert records.choose(following, NOTED._replace(stamp=Stamp(NOON, "ffff"))) == b""
    later = Noted(Stamp(NOON, "ffff"), b"later")
    assert records.choose(WINDOW._replace(generation=4), later) == b"later"


def test_a_window_that_is_closed_changes_no_more(records):
    records.skip(WINDOW._replace(generation=0))
    before = records.state("0b1c")

    records.open(WINDOW._replace(generation=0), "late")
    records.follow(WINDOW._replace(generation=0), "late")
    records.skip(WINDOW._replace(generation=0))

    assert records.state("0b1c") == before
    assert not records.close(WINDOW._replace(generation=0))


def test_contention_is_met_by_writing_elsewhere(records, monkeypatch):
    put, chances = records.adapters.store.put, iter([0.0, 0.5, 0.99])
    monkeypatch.setattr(records.adapters, "chance", lambda: next(chances))

    def contended(key, record, **options):
        if key.name.endswith("-31"):
            put(key, record, **options)
        else:
            raise ConflictError("another one writes it")

    monkeypatch.setattr(records.adapters.store, "put", contended)

    records.note(WINDOW, NOTED)

    assert records.latest(WINDOW) == NOTED


def test_a_window_is_read_as_it_was_written():
    assert Window.of(WINDOW.fields()) == WINDOW
    assert Window.of(json.loads(json.dumps(WINDOW._replace(longest=None).fields()))).longest is None


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"first": "now"},
        {**WINDOW.fields(), "generation": "x"},
        {**WINDOW.fields(), "first": ["x", "y"]},
        {**WINDOW.fields(), "wait": None},
    ],
)
def test_what_is_no_window_is_refused(fields):
    with pytest.raises(DecodeError):
        Window.of(fields)


def test_a_body_whose_window_cannot_be_read_is_a_dead_letter(app, box, ran):
    task = app.deferred(name="note", debounce=10)(lambda: ran.append(1))
    task()
    (waiting,) = box.queue.tasks.values()
    body = waiting.task.body.replace(b'"generation":0', b'"generation":[]')
    assert body != waiting.task.body
    waiting.task = waiting.task._replace(body=body)
    box.travel(by=10)

    box.drain()

    assert ran == []
    (letter,) = box.dead_letters()
    assert "the window of a task cannot be read" in letter.error
