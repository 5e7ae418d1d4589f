import datetime as dt

import pytest

from adjourn_local.http.sender import replace_headers, retry_after

NOW = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    "name", ["Host", "content-length", "USER-AGENT", "X-Google-Anything", "x-appengine-cron", "TE"]
)
def test_reserved_headers_of_the_user_are_dropped_in_any_spelling(name):
    assert replace_headers({name: "mine"}, []) == ()


def test_the_service_s_headers_follow_the_user_s_and_replace_them():
    headers = replace_headers(
        {"x-kept-As-Is": "1", "authorization": "mine", "X-Own-Flag": "mine"},
        [("Authorization", "Bearer t")],
        reserved_prefixes=("X-Own-",),
    )

    assert headers == (("x-kept-As-Is", "1"), ("Authorization", "Bearer t"))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("Mon, 23 Nov 2026 12:01:00 GMT", 60),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0),
        ("Mon, 23 Nov 2026 12:01:00 -0000", 60),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(value, seconds):
    assert retry_after(value, NOW) == seconds
