import pytest

from adjourn_local.http.sender import HandlerResponse
from adjourn_local.tasks.throttle import Throttle
from adjourn_local.timing.timestamps import SECOND

NOW = 1_000 * SECOND


def answer(status, retry_after=None):
    return HandlerResponse(status=status, error="", retry_after=retry_after)


@pytest.mark.parametrize(
    ("status", "app_engine", "share"),
    [
        (429, False, 0.5),
        (503, False, 0.5),
        (429, True, 1.0),
        (503, True, 0.5),
        (500, False, 1.0),
        (404, False, 1.0),
        (None, False, 1.0),
    ],
)
def test_only_the_statuses_that_ask_for_it_slow_a_queue_down(status, app_engine, share):
    throttle = Throttle()

    changed = throttle.note_response(answer(status), NOW, app_engine=app_engine)

    assert throttle.share == share
    assert changed is (share != 1.0)


def test_the_share_falls_once_a_second_and_never_to_nothing():
    throttle = Throttle()
    for _ in range(5):
        throttle.note_response(answer(503), NOW, app_engine=False)
    assert throttle.share == 0.5

    for second in range(1, 20):
        throttle.note_response(answer(503), NOW + second * SECOND, app_engine=False)

    assert throttle.share == 1 / 64


def test_success_brings_the_full_rate_back():
    throttle = Throttle()
    throttle.note_response(answer(503), NOW, app_engine=False)

    for _ in range(3):
        throttle.note_response(answer(200), NOW, app_engine=False)
    assert 0.9 < throttle.share < 1
    throttle.note_response(answer(200), NOW, app_engine=False)

    assert throttle.share == 1
    assert not throttle.note_response(answer(200), NOW, app_engine=False)


def test_the_longest_retry_after_counts():
    throttle = Throttle()

    throttle.note_response(answer(429, 30), NOW, app_engine=False)
    throttle.note_response(answer(503, 10), NOW + SECOND, app_engine=False)

    assert throttle.until == NOW + 30 * SECOND
