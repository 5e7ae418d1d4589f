from hypothesis import given
from hypothesis import strategies as st

from adjourn_local.tasks.token_bucket import TokenBucket
from adjourn_local.timing.timestamps import SECOND


def dispatches(bucket, *, until):
    """Return when the bucket lets tasks go if more are always waiting."""
    now, taken = 0, []
    while (now := bucket.ready_at(now)) <= until:
        bucket.take(now)
        taken.append(now)
    return taken


def test_a_full_bucket_lets_a_burst_go_and_then_the_rate():
    taken = dispatches(TokenBucket(500, 100, 0), until=SECOND)

    assert taken[99] == 0
    assert taken[100] == 2_000
    assert len(taken) == 600


def test_a_token_is_there_when_it_was_said_to_be():
    bucket = TokenBucket(3, 1, 0)
    bucket.take(0)

    at = bucket.ready_at(0)

    assert at == 333_334
    assert bucket.ready_at(at - 1) > at - 1
    assert bucket.ready_at(at) == at


def test_a_clock_that_goes_back_gives_no_tokens_and_takes_none():
    bucket = TokenBucket(1, 2, 10 * SECOND)
    bucket.take(10 * SECOND)

    bucket.take(3 * SECOND)

    assert bucket.ready_at(3 * SECOND) == 4 * SECOND


def test_new_limits_are_not_a_new_burst():
    bucket = TokenBucket(1, 10, 0)
    for _ in range(10):
        bucket.take(0)

    bucket.adjust(500, 100, 0)

    assert bucket.ready_at(0) == 2_000


@given(
    rate=st.floats(0.001, 500),
    burst=st.integers(1, 100),
    waits=st.lists(st.integers(0, 5 * SECOND), max_size=50),
)
def test_no_window_ever_exceeds_burst_plus_rate(rate, burst, waits):
    bucket, now, taken = TokenBucket(rate, burst, 0), 0, 0
    for wait in waits:
        now = max(now + wait, bucket.ready_at(now + wait))
        bucket.take(now)
        taken += 1

    assert taken <= burst + now * rate / SECOND + 1e-6
