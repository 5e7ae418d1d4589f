"""A paused function runs no slot until it is resumed, and each one that is left out is told."""

import datetime as dt
import json
from pathlib import Path

import pytest

from adjourn.cron.due import KIND, PeriodicState
from adjourn.cron.outcomes import SlotOutcome, past_slots
from adjourn.cron.states import recent, record_of, set_paused, state_of
from adjourn.errors import PermanentTaskFailure
from adjourn.ports import RecordKey

GOLDEN = Path(__file__).parent / "golden"
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)


def golden(name):
    record = json.loads((GOLDEN / f"{name}.json").read_text())
    return {**record, "slot": dt.datetime.fromisoformat(record["slot"])}


@pytest.fixture
def declare(app, ran):
    def declared(**options):
        @app.periodic(name="sweep", **options)
        def sweep():
            ran.append("sweep")

        return sweep

    return declared


def periodic(box):
    (found,) = box.wiring.cron.periodics()
    return found


def pause(box, *, is_paused=True):
    return set_paused(box.store, periodic(box), box.clock.now(), is_paused=is_paused)


def tick(box, times=1):
    """Let the Scheduler call every hour, and run what it enqueues."""
    for _ in range(times):
        box.clock.advance(HOUR)
        box.tick()
        box.drain()


def test_golden_states_are_read_for_ever():
    before, paused = state_of(golden("v1-state")), state_of(golden("v2-state-paused"))

    assert (before.is_paused, before.recent, before.timing) == (False, "", "0 3 * * * (UTC)")
    assert paused.is_paused
    assert [(slot.at.day, slot.reason) for slot in recent(paused)] == [
        (2, "the function is paused"),
        (1, ""),
    ]


def test_a_golden_state_is_what_is_written():
    stored = golden("v2-state-paused")

    assert record_of(state_of(stored)) == stored
    assert set(record_of(PeriodicState(slot=stored["slot"], is_enqueued=True))) == set(stored)


@pytest.mark.parametrize(
    "timing", [{"interval": 2 * HOUR}, {"interval": 0 * HOUR}, {"cron": "0 */2 * * *"}]
)
def test_no_slot_runs_from_the_pause_to_the_resumption(box, declare, ran, lines, timing):
    declare(**timing)
    tick(box, 4)
    before = len(ran)

    assert pause(box)
    assert not pause(box)
    tick(box, 6)
    assert len(ran) == before
    told = [line["message"] for line in lines() if line["event"] == "cron.skipped"]
    assert len(told) >= 2
    assert all("is skipped: the function is paused" in text for text in told)
    assert pause(box, is_paused=False)
    tick(box, 3)

    assert before < len(ran) <= before + 3


def test_one_that_no_call_has_asked_for_yet_can_be_paused(box, declare, ran):
    declare(interval=HOUR)

    pause(box)
    tick(box, 3)

    assert ran == []


def test_what_falls_due_in_a_pause_is_not_made_up_for(box, declare, ran):
    declare(cron="0 3 * * *")
    tick(box)
    pause(box)
    tick(box, 24)
    pause(box, is_paused=False)

    tick(box)
    assert ran == []
    tick(box, 3)

    assert ran == ["sweep"]


def test_a_slot_that_was_claimed_before_the_pause_runs(box, declare, ran, monkeypatch):
    declare(interval=HOUR)
    with monkeypatch.context() as patch:
        patch.setattr(type(box.wiring.cron), "_enqueue_all", lambda *_: [OSError("no")])
        box.tick()
    assert ran == []
    pause(box)

    box.tick()
    box.drain()

    assert ran == ["sweep"]


def test_a_paused_function_is_run_by_hand(box, declare, ran):
    declare(interval=HOUR)
    pause(box)

    box.wiring.cron.run(periodic(box))
    box.drain()

    assert ran == ["sweep"]
    assert box.wiring.cron.status(periodic(box)).state.is_paused


def test_a_paused_function_costs_no_more_reads(box, declare, monkeypatch):
    declare(interval=HOUR)
    tick(box)
    asked = []
    get = box.store.get
    monkeypatch.setattr(box.store, "get", lambda keys: asked.append(len(keys)) or get(keys))

    def reads(times):
        asked.clear()
        for _ in range(times):
            box.clock.advance(HOUR / 4)
            box.tick()
        return sum(asked)

    plain = reads(8)
    box.drain()
    pause(box)

    assert reads(8) <= plain


def test_the_last_slots_are_told_with_what_became_of_them(app, box, lines):
    is_bad = []

    @app.periodic(name="sweep", interval=HOUR)
    def sweep():
        if is_bad:
            raise PermanentTaskFailure

    tick(box)
    is_bad.append(1)
    tick(box)
    pause(box)
    tick(box)
    pause(box, is_paused=False)
    box.clock.advance(HOUR)
    box.tick()

    slots = past_slots(box.wiring.cron, box.wiring.cron.status(periodic(box)))

    assert [each.outcome for each in slots] == [
        SlotOutcome.NOT_ENDED,
        SlotOutcome.LEFT_OUT,
        SlotOutcome.GIVEN_UP,
        SlotOutcome.ENDED,
    ]
    assert [each.slot.reason for each in slots] == ["", "the function is paused", "", ""]
    assert lines()


def test_the_last_ten_slots_are_kept_in_less_than_an_indexed_text_may_have(box, declare):
    declare(interval=HOUR, grace=HOUR)
    tick(box)
    pause(box)
    tick(box, 15)

    (record,) = box.store.get([RecordKey(KIND, "sweep")])

    assert len(record["recent"].splitlines()) == 10
    assert len(record["recent"].encode()) < 1_500
