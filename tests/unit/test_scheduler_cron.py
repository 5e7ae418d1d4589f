"""Cron schedules against an oracle that looks at every minute of the wall clock."""

import datetime as dt
import re
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adjourn_local.scheduler.cron import load_zone, parse

MINUTE = dt.timedelta(minutes=1)
BERLIN = "Europe/Berlin"
NEW_YORK = "America/New_York"


def utc(*parts):
    return dt.datetime(*parts, tzinfo=dt.UTC)


def matches(field, value, lowest, highest):
    """Read one field in the plainest way: no lists are built, every value is asked for."""
    for term in field.split(","):
        body, _, step = term.partition("/")
        first, _, last = body.partition("-")
        low, high = (lowest, highest) if body == "*" else (int(first), int(last or first))
        if low <= value <= high and (value - low) % int(step or 1) == 0:
            return True
    return False


def oracle(expression, wall):
    minute, hour, day, month, weekday = expression.split()
    sunday_first = wall.isoweekday() % 7
    days = [
        matches(day, wall.day, 1, 31),
        matches(weekday, sunday_first, 0, 7) or (sunday_first == 0 and matches(weekday, 7, 0, 7)),
    ]
    return (
        matches(minute, wall.minute, 0, 59)
        and matches(hour, wall.hour, 0, 23)
        and matches(month, wall.month, 1, 12)
        and (any(days) if "*" not in (day, weekday) else all(days))
    )


def walls(start, end, zone):
    """Return every minute in UTC with the time that a clock in the zone shows."""
    count = (end - start) // MINUTE
    return [(at, at.astimezone(zone)) for at in (start + n * MINUTE for n in range(count))]


def starts(expression, start, end, zone):
    cron, found, at = parse(expression), [], start - MINUTE
    while (at := cron.next_after(at, zone)) < end:
        found.append(at)
    return found


CHANGES = [
    (BERLIN, utc(2026, 3, 28), utc(2026, 3, 31)),
    (BERLIN, utc(2026, 10, 24), utc(2026, 10, 27)),
    (NEW_YORK, utc(2026, 3, 7), utc(2026, 3, 10)),
    (NEW_YORK, utc(2026, 10, 31), utc(2026, 11, 3)),
    ("Australia/Lord_Howe", utc(2026, 4, 3), utc(2026, 4, 6)),
    ("America/Santiago", utc(2026, 4, 3), utc(2026, 4, 6)),
    ("America/Santiago", utc(2026, 9, 4), utc(2026, 9, 7)),
    ("Asia/Kathmandu", utc(2026, 12, 30), utc(2027, 1, 2)),
    ("UTC", utc(2028, 2, 28), utc(2028, 3, 2)),
]
WALLS = {change: walls(change[1], change[2], ZoneInfo(change[0])) for change in CHANGES}

EXPRESSIONS = [
    "* * * * *",
    "*/7 * * * *",
    "30 * * * *",
    "0,30 1-3 * * *",
    "30 2 * * *",
    "30 1 * * *",
    "0 0 * * *",
    "59 23 * * *",
    "15 */5 * * *",
    "0 */2 * * 0",
    "0 12 * * 7",
    "0 12 1,29 * 1",
    "5 4 */2 * 1",
    "5 4 28-31/2 2-4 *",
    "0 3 * 3,10,11 6-7",
    "0-59/59 0-23/23 * * *",
    "5-5/3 2 * * *",
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: f"{change[0]}-{change[1]:%Y-%m-%d}")
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_starts_are_the_matching_minutes_of_the_wall_clock(expression, change):
    name, start, end = change

    expected = [at for at, wall in WALLS[change] if oracle(expression, wall)]

    assert starts(expression, start, end, ZoneInfo(name)) == expected


def fields(lowest, highest):
    number = st.integers(lowest, highest)
    step = st.integers(1, highest)
    span = st.tuples(number, number).map(sorted)
    term = st.one_of(
        number.map(str),
        st.just("*"),
        step.map("*/{}".format),
        span.map("{0[0]}-{0[1]}".format),
        st.tuples(span, step).map("{0[0][0]}-{0[0][1]}/{0[1]}".format),
    )
    return st.lists(term, min_size=1, max_size=3).map(",".join)


@given(
    st.tuples(fields(0, 59), fields(0, 23), fields(1, 28), fields(1, 12), fields(0, 7)).map(
        " ".join
    ),
    st.sampled_from(CHANGES),
)
@settings(max_examples=60, deadline=None, database=None, derandomize=True)
def test_any_schedule_starts_at_the_matching_minutes_of_the_wall_clock(expression, change):
    name, start, end = change

    expected = [at for at, wall in WALLS[change] if oracle(expression, wall)]

    assert starts(expression, start, end, ZoneInfo(name)) == expected


@pytest.mark.parametrize(
    ("zone", "expression", "after", "expected"),
    [
        # 02:00 to 03:00 is left out on 29 March, and comes twice on 25 October.
        (BERLIN, "30 2 * * *", utc(2026, 3, 28, 12), utc(2026, 3, 30, 0, 30)),
        (BERLIN, "30 2 * * *", utc(2026, 10, 24, 12), utc(2026, 10, 25, 0, 30)),
        (BERLIN, "30 2 * * *", utc(2026, 10, 25, 0, 30), utc(2026, 10, 25, 1, 30)),
        (BERLIN, "30 2 * * *", utc(2026, 10, 25, 1, 30), utc(2026, 10, 26, 1, 30)),
        (NEW_YORK, "0 9 * * *", utc(2026, 3, 7, 20), utc(2026, 3, 8, 13)),
        (NEW_YORK, "0 9 * * *", utc(2026, 3, 6, 20), utc(2026, 3, 7, 14)),
        ("UTC", "0 0 29 2 *", utc(2096, 3, 1), utc(2104, 2, 29)),
        ("UTC", "0 0 1 1 *", utc(2026, 1, 1), utc(2027, 1, 1)),
        ("UTC", "* * * * *", utc(2026, 1, 1, 0, 0, 59, 999999), utc(2026, 1, 1, 0, 1)),
        ("UTC", "* * * * *", utc(2026, 1, 1), utc(2026, 1, 1, 0, 1)),
        (BERLIN, "0 12 24 12 *", utc(2026, 12, 24, 11), utc(2027, 12, 24, 11)),
    ],
)
def test_the_next_start(zone, expression, after, expected):
    assert parse(expression).next_after(after, ZoneInfo(zone)) == expected


def test_an_instant_may_be_given_in_any_zone():
    after = dt.datetime(2026, 6, 1, 3, 30, tzinfo=ZoneInfo("Asia/Tokyo"))

    assert parse("0 0 * * *").next_after(after, ZoneInfo("UTC")) == utc(2026, 6, 1)


@pytest.mark.parametrize(
    ("named", "numbered"),
    [
        ("0 0 * JAN-MAR,dec *", "0 0 * 1-3,12 *"),
        ("0 0 * * MON-FRI", "0 0 * * 1-5"),
        ("0 0 * * sun", "0 0 * * 0"),
        ("  0\t0  *  * Sat ", "0 0 * * 6"),
        ("00 05 * * *", "0 5 * * *"),
    ],
)
def test_names_and_spacing(named, numbered):
    assert parse(named) == parse(numbered)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("", "five fields, not 0"),
        ("* * * *", "five fields, not 4"),
        ("0 * * * * *", "five fields, not 6"),
        ("@daily", "five fields, not 1"),
        ("60 * * * *", "'60' is no minute"),
        ("* 24 * * *", "'24' is no hour"),
        ("* * 0 * *", "'0' is no day of the month"),
        ("* * 32 * *", "'32' is no day of the month"),
        ("* * L * *", "'L' is no day of the month"),
        ("* * LW * *", "'LW' is no day of the month"),
        ("* * * 13 *", "'13' is no month"),
        ("* * * MON *", "'MON' is no month"),
        ("* * * * 8", "'8' is no day of the week"),
        ("* * * * MON#1", "no day of the week"),
        ("* * * * 5L", "'5L' is no day of the week"),
        ("* * * * MONDAY", "no day of the week"),
        ("* * ? * *", "no day of the month"),
        ("-1 * * * *", "no minute"),
        ("1,,2 * * * *", "'' is no minute"),
        ("1, * * * *", "'' is no minute"),
        ("\N{ARABIC-INDIC DIGIT ONE} * * * *", "no minute"),
        ("5-3 * * * *", "does not ascend"),
        ("* * * * FRI-SUN", "does not ascend"),
        ("*/0 * * * *", "between 1 and 59"),
        ("*/60 * * * *", "between 1 and 59"),
        ("* */24 * * *", "between 1 and 23"),
        ("0-30/60 * * * *", "between 1 and 59"),
        ("5/15 * * * *", "needs a range"),
        ("0 0 30 2 *", "no month has such a day"),
        ("0 0 31 2,4,6,9,11 *", "no month has such a day"),
        ("every 5 minutes", "App Engine"),
        ("every day 09:00", "App Engine"),
        ("1st monday of sep,oct 09:00", "App Engine"),
        ("FIRST monday of month 09:00", "App Engine"),
    ],
)
def test_what_is_no_schedule_is_refused_with_the_reason(expression, reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse(expression)


@pytest.mark.parametrize("name", ["", "utc", "UTC", "Etc/UTC"])
def test_utc_has_several_names(name):
    assert utc(2026, 7, 1).astimezone(load_zone(name)).utcoffset() == dt.timedelta()


@pytest.mark.parametrize(
    "name", ["Mars/Olympus", "../../etc/passwd", "/etc/passwd", "America", "x" * 300, "a\0b", "+02"]
)
def test_an_unknown_zone_is_refused(name):
    with pytest.raises(ValueError, match="time zone"):
        load_zone(name)
