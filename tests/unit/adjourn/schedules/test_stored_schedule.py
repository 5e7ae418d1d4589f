"""What earlier versions have stored of schedules is read for ever."""

import datetime as dt
from pathlib import Path

import pytest

from adjourn.cron.due import PeriodicState
from adjourn.schedules.schedule_timing import ScheduleTiming
from adjourn.schedules.stored_schedule import KIND, StoredSchedule, key_of, unindexed
from tests.golden_records import record, text

GOLDEN = Path(__file__).parent / "golden"
NOON = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
CONTENT = b'{"task":"shop.report","args":[42],"kwargs":{},"options":{}}'


def schedule(given, **changes):
    fields = {
        "name": "tenant-42",
        "calls": "shop.report",
        "content": CONTENT,
        "given": given,
        "state": PeriodicState(slot=NOON, is_enqueued=True, timing=given.timing().text),
        "is_paused": False,
        "put_at": NOON,
    }
    return StoredSchedule(**fields | changes)


def ran(text):
    return PeriodicState(
        slot=NOON, is_enqueued=True, task="projects/p/tasks/t", call="t-periodic", timing=text
    )


WRITTEN = {
    "cron": schedule(
        ScheduleTiming(
            cron="0 8 * * mon",
            time_zone="Europe/Berlin",
            until=NOON + dt.timedelta(days=365),
            overlap="allow",
            grace=dt.timedelta(minutes=90),
            cron_name="schedules",
        )
    ),
    "interval": schedule(
        ScheduleTiming(interval=dt.timedelta(hours=1, microseconds=1), cron_name="often"),
        state=ran("every 1:00:00.000001"),
        last_due=NOON,
    ),
    "at": schedule(ScheduleTiming(at=NOON + HOUR, cron_name="schedules")),
    "ended": schedule(
        ScheduleTiming(at=NOON, cron_name="schedules"),
        state=ran("at 2026-11-23 12:00:00 UTC"),
        last_due=NOON,
    ),
    "paused": schedule(ScheduleTiming(interval=HOUR, cron_name="schedules"), is_paused=True),
    "claimed": schedule(
        ScheduleTiming(interval=HOUR, cron_name="schedules"),
        state=ran("every 1:00:00")._replace(is_enqueued=False),
        last_due=NOON,
    ),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_golden_record_is_written_and_read_for_ever(name):
    golden = (GOLDEN / f"{name}.json").read_text()

    assert text(WRITTEN[name].record()) == golden
    assert StoredSchedule.of("tenant-42", record(golden)) == WRITTEN[name]


def test_every_golden_record_is_tested():
    assert {path.stem for path in GOLDEN.iterdir()} == WRITTEN.keys()


def test_every_field_is_in_a_golden_record():
    empty = {"cron": None, "interval": None, "at": None, "until": None, "grace": None}
    records = [each.record() for each in WRITTEN.values()]

    for field in {name for each in records for name in each}:
        assert any(each.get(field, None) != empty.get(field) for each in records), field


def test_the_name_is_the_key_and_only_what_finds_it_has_an_index():
    found = WRITTEN["cron"].record()

    assert key_of("tenant-42") == (KIND, "tenant-42")
    assert found.keys() - set(unindexed(found)) == {"due_schedules"}
    assert found["due_schedules"] == dt.datetime(2026, 11, 30, 7, tzinfo=dt.UTC) - dt.timedelta(
        seconds=10
    )


def test_a_record_of_before_there_was_a_field_is_read():
    stored = dict(WRITTEN["interval"].record())
    for name in ("last_due", "grace", "until", "at", "cron"):
        del stored[name]

    assert StoredSchedule.of("tenant-42", stored).last_due is None
