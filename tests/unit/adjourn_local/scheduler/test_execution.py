"""Whether a failed execution is attempted again, and when."""

import datetime as dt

import pytest
from google.rpc import code_pb2
from hypothesis import given
from hypothesis import strategies as st

from adjourn_local.http.http_status import is_success
from adjourn_local.http.sender import HandlerResponse
from adjourn_local.scheduler.execution import (
    Execution,
    JobRetryPolicy,
    next_attempt,
    status_of,
)

BEGAN = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)


def seconds(number):
    return dt.timedelta(seconds=number)


def policy(count=0, duration=0, minimum=5, maximum=3600, doublings=5):
    return JobRetryPolicy(
        count=count,
        duration=seconds(duration),
        min_backoff=seconds(minimum),
        max_backoff=seconds(maximum),
        doublings=doublings,
    )


def execution(attempts):
    return Execution(
        id=1, job="j", scheduled=BEGAN, is_manual=False, began=BEGAN, attempts=attempts
    )


def wait(policy, attempts, *, elapsed=0, next_tick=None):
    now = BEGAN + seconds(elapsed)
    at = next_attempt(policy, execution(attempts), now=now, next_tick=next_tick)
    return None if at is None else (at - now).total_seconds()


def test_without_limits_there_is_no_retry():
    assert wait(policy(), 1) is None


def test_the_count_is_that_of_retries():
    assert [wait(policy(count=2), attempts) for attempts in (1, 2, 3)] == [5, 10, None]


def test_a_duration_alone_retries_until_it_has_passed():
    assert wait(policy(duration=60), 3, elapsed=59) == 20
    assert wait(policy(duration=60), 3, elapsed=60) is None


def test_with_both_limits_both_must_be_reached():
    both = policy(count=2, duration=60)

    assert wait(both, 3, elapsed=59) is not None
    assert wait(both, 2, elapsed=61) is not None
    assert wait(both, 3, elapsed=61) is None


def test_the_documented_back_off_sequence():
    documented = policy(count=9, minimum=10, maximum=300, doublings=3)

    waits = [wait(documented, attempts) for attempts in range(1, 9)]

    assert waits == [10, 20, 40, 80, 160, 240, 300, 300]


def test_retries_end_at_the_next_scheduled_start():
    assert wait(policy(count=5), 1, next_tick=BEGAN + seconds(6)) == 5
    assert wait(policy(count=5), 1, next_tick=BEGAN + seconds(5)) is None
    assert wait(policy(count=5), 1, elapsed=60, next_tick=BEGAN + seconds(30)) is None


@given(st.integers(0, 5), st.integers(0, 1000), st.integers(1, 9), st.integers(0, 2000))
def test_more_generous_limits_never_take_a_retry_away(count, duration, attempts, elapsed):
    if wait(policy(count, duration), attempts, elapsed=elapsed) is not None:
        assert wait(policy(count + 1, duration), attempts, elapsed=elapsed) is not None
        assert wait(policy(count, duration + 1), attempts, elapsed=elapsed) is not None


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (200, "", code_pb2.OK),
        (204, "", code_pb2.OK),
        (299, "", code_pb2.OK),
        (302, "", code_pb2.UNKNOWN),
        (401, "", code_pb2.UNAUTHENTICATED),
        (403, "", code_pb2.PERMISSION_DENIED),
        (404, "", code_pb2.NOT_FOUND),
        (418, "", code_pb2.UNKNOWN),
        (500, "", code_pb2.INTERNAL),
        (503, "", code_pb2.UNAVAILABLE),
        (None, "DEADLINE_EXCEEDED", code_pb2.DEADLINE_EXCEEDED),
        (None, "UNAVAILABLE", code_pb2.UNAVAILABLE),
    ],
)
def test_how_an_attempt_ended(status, error, code):
    answer = HandlerResponse(status=status, error=error, retry_after=None)

    assert status_of(answer)[0] == code
    assert is_success(answer) == (code == code_pb2.OK)


def test_a_back_off_beyond_the_calendar_is_no_error():
    endless = policy(count=5, minimum=315_576_000_000, maximum=315_576_000_000)

    assert wait(endless, 1) is not None
    assert wait(endless, 1, next_tick=BEGAN + seconds(60)) is None
