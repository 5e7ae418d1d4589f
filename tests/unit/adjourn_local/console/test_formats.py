import datetime as dt

import pytest

from adjourn_local.console.formats import AddressError, ago, number, parse_time, span, visible

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7_500, "2 h 5 min"), (90_061, "1 d 1 h")],
)
def test_a_duration_is_told_in_two_units(seconds, text):
    assert span(dt.timedelta(seconds=seconds)) == text


def test_times_are_told_from_now():
    assert ago(NOW - dt.timedelta(minutes=5), NOW) == "5 min ago"
    assert ago(NOW + dt.timedelta(hours=2), NOW) == "in 2 h"
    assert ago(None, NOW) == "-"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0, "0"), (1234567, "1,234,567"), (12.345, "12.3"), (123.4, "123")],
)
def test_numbers_are_short(value, text):
    assert number(value) == text


def test_control_characters_are_visible_and_long_texts_cut():
    assert visible("a\x1b[31m\u202eb\n") == "a\\x1b[31m\\u202eb\n"
    assert visible("x" * 12, 10) == "x" * 10 + " … 2 characters more"


@pytest.mark.parametrize("text", ["", "yesterday", "2026-01-01T00:00:00", "9999999"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(AddressError, match="not a time"):
        parse_time(text)
    assert parse_time("2026-01-01T00:00:00+00:00") == dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
