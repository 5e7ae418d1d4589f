"""What is stored of flows is read for ever."""

import datetime as dt
import json
from pathlib import Path

import pytest

from adjourn.flow.pages import page_key, page_record, read_page
from adjourn.flow.permits import FlowState, Permit
from adjourn.flow.records import FlowRecord, read_record, record_key
from adjourn.names import CallIdentity
from adjourn.state.call_records import CallRecord

GOLDEN = Path(__file__).parent / "golden"
NOW = dt.datetime(2026, 1, 1, 12, 30, 15, 250, tzinfo=dt.UTC)
FIRST, SECOND = CallIdentity("7f3a", "0b1c"), CallIdentity("call-7", "2d3e")
STATE = FlowState(
    permits=(Permit(FIRST, NOW, "5e1f"), Permit(SECOND, NOW)),
    waiting=(SECOND, FIRST),
    length=102,
    first_page=3,
    next_page=4,
    guard_at=NOW,
)
RECORDS = {
    "key.json": FlowRecord(
        "work", "acme", STATE, queue="mail", concurrency=5, limits="concurrency=5"
    ),
    "rate.json": FlowRecord(
        "work",
        "acme",
        FlowState(
            permits=(Permit(FIRST, NOW, "", NOW),),
            waiting=(SECOND, FIRST),
            last=(FIRST,),
            length=3,
            free_at=NOW,
            planned_at=NOW,
            front=1,
        ),
        rate="10/s",
        burst=20,
        limits="rate=10/s burst=20",
    ),
    "empty.json": FlowRecord("work", ""),
    "whole.json": FlowRecord("work", None, is_paused=True),
}


def golden(name):
    return json.loads((GOLDEN / name).read_text(), object_hook=_times)


def _times(tree):
    if "expires_at" in tree:
        tree["expires_at"] = dt.datetime.fromisoformat(tree["expires_at"])
    return tree


@pytest.mark.parametrize("name", RECORDS)
def test_a_golden_record_is_read_and_written(name):
    record = RECORDS[name]

    assert read_record(record.flow, record.key, golden(name)) == record
    assert record.record(NOW) == golden(name)


def test_a_golden_page_is_read_and_written():
    assert read_page(golden("page.json")) == (FIRST, SECOND)
    assert page_record((FIRST, SECOND), NOW) == golden("page.json")


def test_every_golden_file_is_tested():
    assert {path.name for path in GOLDEN.iterdir()} == {*RECORDS, "page.json"}


def test_the_names_of_records_never_change():
    assert record_key("work", "acme").name == "4a893dcd2a1c21b22d752443796d6516"
    assert page_key("0a", 3).name == "0a-3"
    assert len({record_key("work", None), record_key("work", ""), record_key("work", "x")}) == 3


def test_a_record_changes_its_end_once_a_day_and_keeps_what_was_decided():
    record = RECORDS["empty.json"]

    assert record.expires_at(NOW) == record.expires_at(NOW.replace(hour=23))
    assert RECORDS["whole.json"].expires_at(NOW).year == 9000


def test_a_call_record_of_an_earlier_version_waits_for_nothing():
    assert CallRecord(task="x").at(1, "y").parked == b""
