"""Cron schedules against an oracle that looks at every minute of the wall clock."""

import datetime as dt
import re
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from adjourn.cron.expressions import parse, parse_interval
from adjourn.cron.schedule import load_zone

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
    schedule, found, at = parse(expression, zone), [], start - MINUTE
    while (at := schedule.next_after(at)) < end:
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

    assert starts(expression, start, end, name) == expected


def has(names, name):
    return name.lower() in [each[:3] for each in names.split(",")]


def spread_oracle(expression, wall):
    """Read a form of App Engine's in the plainest way."""
    words = expression.split()
    if words[1].isdecimal():
        step = int(words[1]) * (60 if "hour" in words[2] else 1)
        first, last = (words[4], words[6]) if words[3] == "from" else ("0:00", "23:59")
        first, last = (int(h) * 60 + int(m) for h, m in (each.split(":") for each in (first, last)))
        passed = (wall.hour * 60 + wall.minute - first) % 1440
        return passed <= (last - first) % 1440 and passed % step == 0
    which, weekdays, time = words[0], words[1], words[-1]
    if weekdays == "of":
        return (
            wall.day in map(int, which.split(","))
            and (words[2] == "month" or f"{wall:%b}".lower() in words[2])
            and f"{wall:%H:%M}" == time
        )
    months = words[3] if len(words) == 5 else "month"
    week = ["1st,first", "2nd,second", "3rd,third", "4th,fourth", "5th,fifth"][(wall.day - 1) // 7]
    return (
        (which == "every" or any(each in week.split(",") for each in which.split(",")))
        and (
            weekdays == "day" or any(f"{wall:%A}".lower()[:3] == d[:3] for d in weekdays.split(","))
        )
        and (months == "month" or any(f"{wall:%b}".lower() == m[:3] for m in months.split(",")))
        and f"{wall:%H:%M}" == time
    )


APP_ENGINE = [
    "every day 02:30",
    "every day 00:00",
    "every sunday 01:30",
    "every mon,wed,fri 09:00",
    "every sunday of month 02:15",
    "1st,third sunday of nov,april 01:00",
    "2nd sunday of april,nov 02:59",
    "fourth,5th sunday of march,october 02:30",
    "first saturday 23:59",
    "5th saturday of october,january 00:01",
    "1,8,15,29 of month 02:30",
    "25 of jan,october,nov 02:00",
    "every 5 minutes synchronized",
    "every 90 mins synchronized",
    "every 2 hours synchronized",
    "every 7 minutes from 01:10 to 03:00",
    "every 1 hour from 22:30 to 02:30",
    "every 25 minutes from 02:00 to 02:00",
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: f"{change[0]}-{change[1]:%Y-%m-%d}")
@pytest.mark.parametrize("expression", APP_ENGINE)
def test_forms_of_app_engine_start_at_the_matching_minutes_as_well(expression, change):
    name, start, end = change

    expected = [at for at, wall in WALLS[change] if spread_oracle(expression, wall)]

    assert starts(expression, start, end, name) == expected


@pytest.mark.parametrize("day", ["09:00", "9:00"])
def test_weeks_of_a_month_are_counted_from_its_first_day(day):
    schedule, found, at = parse(f"1st,5th MONDAY of Month {day}"), [], utc(2026, 6, 1)
    for _ in range(5):
        at = schedule.next_after(at)
        found.append(f"{at:%m-%d %H:%M}")

    assert found == ["06-01 09:00", "06-29 09:00", "07-06 09:00", "08-03 09:00", "08-31 09:00"]


@given(
    st.sampled_from([*EXPRESSIONS, *APP_ENGINE]),
    st.sampled_from(CHANGES),
    st.integers(0, 2 * 1440 - 1),
    st.integers(1, 1440),
    st.integers(0, 59),
)
@settings(max_examples=150, database=None, derandomize=True)
def test_the_latest_start_is_the_last_of_the_matching_minutes(
    expression, change, first, length, seconds
):
    name, start, _ = change
    since = start + first * MINUTE + dt.timedelta(seconds=seconds)
    until = since + length * MINUTE - dt.timedelta(seconds=seconds)
    reads = spread_oracle if expression in APP_ENGINE else oracle

    expected = [at for at, wall in WALLS[change] if since < at <= until and reads(expression, wall)]

    assert parse(expression, name).latest(since, until) == (expected[-1] if expected else None)


def test_the_latest_start_is_found_over_years():
    yearly = parse("0 0 29 2 *")

    assert yearly.latest(utc(1990, 1, 1), utc(2026, 1, 1)) == utc(2024, 2, 29)
    assert yearly.latest(utc(2024, 2, 29), utc(2028, 2, 28, 23, 59)) is None


@pytest.mark.parametrize("day", range(1, 29))
def test_cronsim_reads_plain_expressions_alike(day):
    """A well-known library as a second opinion, where its rules are the same."""
    expression = f"{day}-59/7 {day % 24},3 * {day % 12 + 1} {day % 7}"
    theirs, at = CronSim(expression, utc(2026, 1, day)), utc(2026, 1, day)

    for _ in range(100):
        at = parse(expression).next_after(at)
        assert at == next(theirs)


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        ("every 5 minutes", dt.timedelta(minutes=5)),
        ("Every 1 min", MINUTE),
        ("every 12 hours", dt.timedelta(hours=12)),
        ("every 5 minutes synchronized", None),
        ("every day 05:00", None),
        ("*/5 * * * *", None),
        ("", None),
    ],
)
def test_an_interval_is_told_from_times_of_the_day(text, interval):
    assert parse_interval(text) == interval


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
@settings(max_examples=60, database=None, derandomize=True)
def test_any_schedule_starts_at_the_matching_minutes_of_the_wall_clock(expression, change):
    name, start, end = change

    expected = [at for at, wall in WALLS[change] if oracle(expression, wall)]

    assert starts(expression, start, end, name) == expected


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
    assert parse(expression, zone).next_after(after) == expected


def test_an_instant_may_be_given_in_any_zone():
    after = dt.datetime(2026, 6, 1, 3, 30, tzinfo=ZoneInfo("Asia/Tokyo"))

    assert parse("0 0 * * *").next_after(after) == utc(2026, 6, 1)


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
        ("60 * * * *", "'60' is not a valid minute"),
        ("* 24 * * *", "'24' is not a valid hour"),
        ("* * 0 * *", "'0' is not a valid day of the month"),
        ("* * 32 * *", "'32' is not a valid day of the month"),
        ("* * L * *", "'L' is not a valid day of the month"),
        ("* * LW * *", "'LW' is not a valid day of the month"),
        ("* * * 13 *", "'13' is not a valid month"),
        ("* * * MON *", "'MON' is not a valid month"),
        ("* * * * 8", "'8' is not a valid day of the week"),
        ("* * * * MON#1", "not a valid day of the week"),
        ("* * * * 5L", "'5L' is not a valid day of the week"),
        ("* * * * MONDAY", "not a valid day of the week"),
        ("* * ? * *", "not a valid day of the month"),
        ("-1 * * * *", "not a valid minute"),
        ("1,,2 * * * *", "'' is not a valid minute"),
        ("1, * * * *", "'' is not a valid minute"),
        ("\N{ARABIC-INDIC DIGIT ONE} * * * *", "not a valid minute"),
        ("5-3 * * * *", "does not ascend"),
        ("* * * * FRI-SUN", "does not ascend"),
        ("*/0 * * * *", "between 1 and 59"),
        ("*/60 * * * *", "between 1 and 59"),
        ("* */24 * * *", "between 1 and 23"),
        ("0-30/60 * * * *", "between 1 and 59"),
        ("5/15 * * * *", "needs a range"),
        ("0 0 30 2 *", "no month has such a day"),
        ("0 0 31 2,4,6,9,11 *", "no month has such a day"),
        ("every 5 minutes", "an interval of App Engine, which has no times of the day"),
        ("every 0 minutes synchronized", "'0 minutes' is not a number of minutes or hours"),
        ("every 5 weeks synchronized", "'5 weeks' is not a number of minutes or hours"),
        ("every 99999 minutes synchronized", "is not a number of minutes"),
        ("every 5", "'5' is not a number of minutes or hours"),
        ("every 7 minutes synchronized", "must divide the day evenly"),
        ("every 5 minutes from 10:00", 'comes "from 10:00 to 14:00" or "synchronized"'),
        ("every 5 minutes from 10:00 to 24:00", "'24:00' is not a time of the day"),
        ("every", 'reads "every day 09:00"'),
        ("every day", 'reads "every day 09:00"'),
        ("every monday at 9 o'clock", 'reads "every day 09:00"'),
        ("every blue monday 09:00", 'reads "every day 09:00"'),
        ("every day 9", "'9' is not a time of the day"),
        ("every day 09:60", "'09:60' is not a time of the day"),
        ("every mo 09:00", "'mo' is not a valid day of the week"),
        ("every mondays 09:00", "'mondays' is not a valid day of the week"),
        ("1st,6th monday 09:00", "'6th' is not a valid week of the month"),
        ("1st monday of march,x 09:00", "'x' is not a valid month"),
        ("1st monday of 3 09:00", "'3' is not a valid month"),
        ("6th monday 09:00", "five fields, not 3"),
        ("1,32 of month 09:00", "'32' is not a valid day of the month"),
        ("1 of month", 'reads "1,15 of month 09:00"'),
        ("1 of x 09:00", "'x' is not a valid month"),
        ("30 of feb 09:00", "no month has such a day"),
        ("every day 09:00 09:00", 'reads "every day 09:00"'),
    ],
)
def test_what_is_no_schedule_is_refused_with_the_reason(expression, reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse(expression)


def test_a_time_that_clocks_always_jump_over_is_refused():
    with pytest.raises(ValueError, match="clocks in America/New_York always skip this time"):
        parse("2nd sunday of march 02:30", NEW_YORK)


def test_a_time_that_comes_once_in_decades_is_found():
    rare = parse("5th monday of february 12:00")

    assert rare.next_after(utc(2072, 3, 1)) == utc(2112, 2, 29, 12)
    assert rare.next_after(utc(2028, 3, 1)) == utc(2044, 2, 29, 12)


@pytest.mark.parametrize("name", ["", "utc", "UTC", "Etc/UTC"])
def test_utc_has_several_names(name):
    assert utc(2026, 7, 1).astimezone(load_zone(name)).utcoffset() == dt.timedelta()


@pytest.mark.parametrize(
    "name", ["Mars/Olympus", "../../etc/passwd", "/etc/passwd", "America", "x" * 300, "a\0b", "+02"]
)
def test_an_unknown_zone_is_refused(name):
    with pytest.raises(ValueError, match="time zone"):
        load_zone(name)
