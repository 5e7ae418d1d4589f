"""The days of a month and what is due on each, from now on."""

import datetime as dt

import pytest

from adjourn.cron.due import PeriodicState
from adjourn.cron.expressions import parse
from adjourn.cron.periodic import Periodic, Timing
from adjourn.cron.tick import PeriodicStatus
from adjourn_local.console.calendars import month, next_day, parse_month
from adjourn_local.console.formats import AddressError

NOW = dt.datetime(2026, 11, 28, 12, tzinfo=dt.UTC)
FIRST = dt.date(2026, 11, 1)
DAY = dt.timedelta(days=1)


def status(when, state=None):
    when = parse(when, "UTC") if isinstance(when, str) else when
    return PeriodicStatus(Periodic("shop.sweep", None, Timing(when=when, text="it")), state, None)


def due(found):
    """Return what is due: day, time, and whether more follows."""
    days = [day for week in found.weeks for day in week if day]
    return [(day.date.day, each.when, each.has_more) for day in days for each in day.due]


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("0 12 * * *", [(28, "12:00", False), (29, "12:00", False), (30, "12:00", False)]),
        ("0 13 * * *", [(28, "13:00", False), (29, "13:00", False), (30, "13:00", False)]),
        ("*/5 * * * *", [(28, "12:00", True), (29, "00:00", True), (30, "00:00", True)]),
        ("59 23,0 * * *", [(28, "23:59", False), (29, "00:59", True), (30, "00:59", True)]),
        ("0 0 1 * *", []),
        ("0 0 29 2 *", []),
        (DAY / 2, [(28, "it", False), (29, "it", False), (30, "it", False)]),
        (0 * DAY, [(28, "it", False), (29, "it", False), (30, "it", False)]),
        (DAY, [(28, "12:00", False), (29, "12:00", False), (30, "12:00", False)]),
        (2 * DAY, [(28, "12:00", False), (30, "12:00", False)]),
    ],
)
def test_a_month_has_what_is_due_from_now_on(when, expected):
    assert due(month([status(when)], FIRST, NOW)) == expected


def test_a_month_has_its_days_from_monday_to_sunday():
    found = month([], FIRST, NOW)

    assert all(len(week) == 7 for week in found.weeks)
    assert [day.date.day if day else None for day in found.weeks[0]] == [*[None] * 6, 1]
    assert [day.date.day for week in found.weeks for day in week if day] == [*range(1, 31)]
    assert [day.date.day for week in found.weeks for day in week if day and day.is_today] == [28]
    assert (found.before, found.after) == ("2026-10", "2026-12")


def test_a_later_month_has_all_its_days_and_a_former_one_nothing():
    assert len(due(month([status("0 3 * * *")], dt.date(2027, 2, 1), NOW))) == 28
    assert due(month([status("0 3 * * *")], dt.date(2026, 10, 1), NOW)) == []


def test_paused_functions_are_left_out():
    paused = status("0 3 * * *", PeriodicState(slot=NOW, is_enqueued=True, is_paused=True))

    assert due(month([paused], FIRST, NOW)) == []
    assert next_day([paused], NOW) == []
    assert len(next_day([status("0 3 * * *")], NOW)) == 1


@pytest.mark.parametrize("text", ["2026", "2026-13", "1926-01", "2026-1", "x", "", "2026-11-01"])
def test_what_is_no_month_is_refused(text):
    with pytest.raises(AddressError):
        parse_month(text, NOW)


def test_the_present_month_is_shown_unless_another_one_is_asked_for():
    assert parse_month(None, NOW) == FIRST
    assert parse_month("2027-02", NOW) == dt.date(2027, 2, 1)
