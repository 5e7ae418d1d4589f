import pytest
from hypothesis import given
from hypothesis import strategies as st

from adjourn_local.timing.backoff import backoff

curves = {
    "minimum": st.floats(0, 4000),
    "maximum": st.floats(0, 100_000),
    "doublings": st.integers(0, 1 << 31),
}


def test_the_curve_is_that_of_the_documented_example():
    curve = [backoff(n, minimum=10, maximum=300, doublings=3) for n in range(1, 9)]

    assert curve == [10, 20, 40, 80, 160, 240, 300, 300]


def test_without_doublings_the_curve_is_linear():
    curve = [backoff(n, minimum=5, maximum=100, doublings=0) for n in range(1, 5)]

    assert curve == [5, 10, 15, 20]


def test_the_defaults_of_a_queue_start_at_a_tenth_of_a_second():
    curve = [backoff(n, minimum=0.1, maximum=3600, doublings=16) for n in (1, 2, 3, 16, 17, 99)]

    assert curve == pytest.approx([0.1, 0.2, 0.4, 3276.8, 3600, 3600])


@given(retry=st.integers(1, 1 << 31), **curves)
def test_the_delay_never_exceeds_the_maximum(retry, minimum, maximum, doublings):
    delay = backoff(retry, minimum=minimum, maximum=maximum, doublings=doublings)

    assert 0 <= delay <= maximum


@given(retry=st.integers(1, 1 << 20), **curves)
def test_the_delay_never_shrinks(retry, minimum, maximum, doublings):
    curve = {"minimum": minimum, "maximum": maximum, "doublings": doublings}

    assert backoff(retry, **curve) <= backoff(retry + 1, **curve)
