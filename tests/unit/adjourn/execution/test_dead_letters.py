"""What is given up leaves a record and a log event."""

import datetime as dt

import pytest

from adjourn.errors import StoreError
from adjourn.execution.dead_letters import KIND, DeadLetterRecorder, group_of
from adjourn.execution.delivery import Delivery
from adjourn.names import CallIdentity
from adjourn.ports import RecordKey
from adjourn.testing import FakeClock, MemoryStore

CALL = CallIdentity("7f3a", "f1")


def bury(
    store, clock=None, error=None, *, body=b"{}", attempts=3, call=CALL, notify=lambda *_: None
):
    DeadLetterRecorder(store=store, clock=clock or FakeClock(), notify=notify).record(
        Delivery(authorization=[], body=body, queue="mail"),
        error or ValueError("broken"),
        call=call,
        task="shop.send",
        attempts=attempts,
    )
    return store.get([RecordKey(KIND, "7f3a")])[0]


def test_the_record_has_all_that_is_needed_to_look_into_it_and_to_replay_it():
    clock = FakeClock()

    letter = bury(MemoryStore(), clock)

    assert letter == {
        "task": "shop.send",
        "queue": "mail",
        "attempts": 3,
        "body": b"{}",
        "error": "ValueError: broken",
        "traceback": "ValueError: broken\n",
        "fingerprint": "f1",
        "group": f"{group_of('shop.send', 'ValueError: broken')} {clock.now().isoformat()}",
        "buried_at": clock.now(),
        "expires_at": clock.now() + dt.timedelta(days=90),
    }


def test_long_errors_are_cut_and_of_a_long_traceback_the_end_is_kept():
    letter = bury(MemoryStore(), error=ValueError("x" * 50_000 + "END"))

    assert len(letter["error"]) == 1_000
    assert len(letter["traceback"]) == 20_000
    assert letter["traceback"].endswith("END\n")


def test_errors_that_differ_in_numbers_and_quoted_texts_are_one_group():
    same = ["KeyError: 'a'", "KeyError: 'b c'", 'KeyError: "d"\nand more', "KeyError: 0x7f"]
    others = ["KeyError: a", "IndexError: 'a'", ""]

    assert len({group_of("shop.send", each) for each in same}) == 1
    assert len({group_of("shop.send", each) for each in [same[0], *others]}) == 4
    assert group_of("shop.bill", same[0]) != group_of("shop.send", same[0])


def test_the_name_of_a_group_is_stored_so_it_stays():
    golden = "982a06e1c1a4c1969ae2745d0f20f493"

    assert group_of("shop.send", "ValueError: order 17 of 'ann' is paid") == golden
    assert group_of("shop.send", "ValueError: order 18 of 'bob' is paid") == golden


def test_twice_for_the_same_task_is_once():
    store = MemoryStore()

    bury(store)
    bury(store, attempts=4)

    assert len(store.records) == 1


def test_a_letter_of_another_call_or_of_an_older_revision_is_kept():
    store, older = MemoryStore(), CallIdentity("older", "f1")
    bury(store, call=CALL)
    store.put(RecordKey(KIND, "older"), {"task": "without a fingerprint"})
    told = []

    for call in (CallIdentity("7f3a", "f2"), older, older):
        bury(store, call=call, notify=lambda letter, _: told.append(letter.task_id))

    assert sorted(key.name for key in store.records) == ["7f3a", "7f3a.f2", "older", "older.f1"]
    assert told == ["7f3a.f2", "older.f1", "older.f1"]


def test_it_is_logged_without_the_body(lines):
    bury(MemoryStore(), body=b"s3cret")

    (line,) = lines()
    assert line["event"] == "task.dead"
    assert line["severity"] == "ERROR"
    assert (line["task"], line["task_id"], line["queue"]) == ("shop.send", "7f3a", "mail")
    assert line["attempts"] == 3
    assert "s3cret" not in str(line)


def test_without_a_record_there_is_no_event_and_nobody_is_told(lines):
    class Broken(MemoryStore):
        def transact(self, *_, **__):
            raise StoreError("away")

    told = []
    with pytest.raises(StoreError):
        bury(Broken(), notify=lambda *about: told.append(about))

    assert lines() == []
    assert told == []
