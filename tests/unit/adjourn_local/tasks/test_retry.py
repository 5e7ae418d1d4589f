import pytest

from adjourn_local.http.http_status import is_success
from adjourn_local.http.sender import HandlerResponse
from adjourn_local.tasks.retry import (
    TaskRetryPolicy,
    counts_as_execution,
    delay,
    is_exhausted,
    previous_response,
    response_status,
)
from adjourn_local.timing.timestamps import DAY, SECOND


def policy(max_attempts=100, max_duration=0, **fields):
    defaults = {"min_backoff": SECOND, "max_backoff": 60 * SECOND, "max_doublings": 3}
    return TaskRetryPolicy(
        max_attempts=max_attempts, max_duration=max_duration, **{**defaults, **fields}
    )


def answer(status=None, *, error="", retry_after=None):
    return HandlerResponse(status=status, error=error, retry_after=retry_after)


MINUTE = 60 * SECOND


@pytest.mark.parametrize(
    ("max_attempts", "max_duration", "attempts", "since_first", "expected"),
    [
        (3, 0, 2, 30 * DAY, False),
        (3, 0, 3, 0, True),
        (-1, MINUTE, 1000, MINUTE - 1, False),
        (-1, MINUTE, 1, MINUTE, True),
        (3, MINUTE, 3, MINUTE - 1, False),
        (3, MINUTE, 2, MINUTE, False),
        (3, MINUTE, 3, MINUTE, True),
        (-1, 0, 100_000, 30 * DAY, False),
    ],
)
def test_a_task_is_given_up_when_every_limit_that_is_set_is_reached(
    max_attempts, max_duration, attempts, since_first, expected
):
    limits = policy(max_attempts, max_duration)

    assert is_exhausted(limits, attempts=attempts, since_first=since_first, age=0) is expected


def test_no_policy_outlasts_the_retention():
    assert not is_exhausted(policy(-1), attempts=1, since_first=0, age=31 * DAY - 1)
    assert is_exhausted(policy(-1), attempts=1, since_first=0, age=31 * DAY)


def test_retry_after_is_a_lower_bound_on_429_and_503_only():
    slow = {"retry_after": 30}

    assert delay(policy(), attempts=1, response=answer(429, **slow)) == 30 * SECOND
    assert delay(policy(), attempts=1, response=answer(503, **slow)) == 30 * SECOND
    assert delay(policy(), attempts=1, response=answer(500, **slow)) == SECOND
    assert delay(policy(), attempts=9, response=answer(503, retry_after=2)) == 48 * SECOND


def test_an_absurd_retry_after_is_cut_to_the_retention():
    assert delay(policy(), attempts=1, response=answer(503, retry_after=float("inf"))) == 31 * DAY


@pytest.mark.parametrize(
    ("status", "success", "execution"),
    [
        (199, False, True),
        (200, True, True),
        (299, True, True),
        (300, False, True),
        (404, False, True),
        (429, False, True),
        (499, False, True),
        (500, False, False),
        (599, False, False),
    ],
)
def test_statuses_are_judged_as_the_service_judges_them(status, success, execution):
    assert is_success(answer(status)) is success
    assert counts_as_execution(answer(status)) is execution
    assert previous_response(answer(status)) == status


def test_a_missed_deadline_is_told_as_504_and_no_answer_as_nothing():
    late, away = answer(error="DEADLINE_EXCEEDED"), answer(error="UNAVAILABLE")

    assert (previous_response(late), previous_response(away)) == (504, 0)
    assert not counts_as_execution(late)
    assert not is_success(away)
    assert response_status(late)[0] == 4
    assert response_status(away)[0] == 2


@pytest.mark.parametrize(
    ("status", "code", "name"),
    [
        (403, 7, "PERMISSION_DENIED"),
        (404, 5, "NOT_FOUND"),
        (429, 8, "RESOURCE_EXHAUSTED"),
        (500, 13, "INTERNAL"),
        (503, 14, "UNAVAILABLE"),
        (418, 2, "UNKNOWN"),
    ],
)
def test_a_failed_attempt_has_the_status_of_its_answer(status, code, name):
    assert response_status(answer(status)) == (code, f"{name}({code}): HTTP status code {status}")


def test_a_successful_attempt_has_no_message():
    assert response_status(answer(204)) == (0, "")
