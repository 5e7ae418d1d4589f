"""Which rates there are, and that no window has more calls than they allow."""

import datetime as dt
import itertools
from collections import Counter
from heapq import heappop, heappush
from itertools import combinations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adjourn import DeclarationError, Flow
from adjourn.flow.permits import FlowState
from adjourn.flow.rates import Limit, rate_of
from adjourn.names import CallIdentity

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)
MINUTE = 60 * SECOND
STAY = 3 * SECOND


@pytest.mark.parametrize(
    ("text", "seconds"), [("10/s", 0.1), ("600/m", 0.1), ("1/h", 3600), ("2/d", 43200)]
)
def test_a_rate_is_the_time_for_each_call(text, seconds):
    assert rate_of(text).each == seconds * SECOND


def test_a_rate_that_is_no_whole_number_of_microseconds_is_not_exceeded():
    assert rate_of("3/s").each * 3 >= SECOND


@pytest.mark.parametrize("text", ["10", "0/s", "10/w", "-1/s", "1.5/s", " 1/s", "1/s\n", 7, b"9/s"])
def test_anything_else_is_refused_with_examples(text):
    with pytest.raises(DeclarationError, match="such as"):
        rate_of(text)


@pytest.mark.parametrize("fields", [{"burst": 2, "concurrency": 1}, {"rate": "1/s", "burst": 0}])
def test_a_wrong_burst_is_refused(fields):
    with pytest.raises(DeclarationError, match="burst"):
        Flow(**fields)


class Line:
    """Calls of one key, each of which comes and begins as late as the test says."""

    def __init__(self, limit, lateness=lambda: 0, slowness=lambda: 0):
        self.limit, self.state, self.now = limit, FlowState(), NOW
        self.lateness, self.slowness = lateness, slowness
        self.begun, self.parkings, self.guards = {}, Counter(), 0
        self.numbers = itertools.count()
        self.events = []

    def put(self, at, call, *, has_waited=False):
        """Let a call come, or for None a guard."""
        late = at + self.lateness() * SECOND
        heappush(self.events, (late, next(self.numbers), call, has_waited, at))

    def come(self, call, *, has_waited=False):
        start = self.state.start(call, self.limit, self.now, has_waited=has_waited, patience=STAY)
        if start is None:
            self.parkings[call] += 1
            self.state = self.state.left(call).parked(call, in_front=has_waited)
        else:
            assert call not in self.begun
            self.state = self.state.took(call, self.limit, start)
            self.begun[call] = start + self.slowness() * self.limit.slack
        self.commit()

    def commit(self):
        self.state, called = self.state.granted(self.limit, self.now, bool)
        for call in called:
            self.put(self.state.permit_of(call).slot, call, has_waited=True)
        state = self.state.guarded(self.limit, self.now)
        if state.guard_at != self.state.guard_at:
            self.put(state.guard_at, None)
        self.state = state

    def go_on(self, until):
        """Let time pass until then, with guards and those who come."""
        while self.events and self.events[0][0] < until:
            late, _, call, has_waited, at = heappop(self.events)
            self.now = max(self.now, late)
            if call is not None:
                self.come(call, has_waited=has_waited)
                continue
            self.guards += 1
            is_own = self.state.guard_at == at
            self.state = self.state._replace(guard_at=None) if is_own else self.state
            self.commit()
        self.now = until

    def check_windows(self):
        begun = sorted(self.begun.values())
        for first, last in combinations(range(len(begun)), 2):
            allowed = self.limit.burst + (begun[last] - begun[first]) // self.limit.interval
            assert last - first + 1 <= allowed, (begun[first], begun[last])


def number(each):
    return CallIdentity(f"{each}", "")


LATENESSES = st.one_of(
    st.floats(0, 10).map(lambda each: (each, each)),  # always as late
    st.tuples(st.floats(0, 5), st.floats(5, 10)),
    st.floats(0, 7).map(lambda each: (each, each + 3)),
)


@settings(max_examples=150)
@given(
    burst=st.integers(1, 6),
    interval=st.integers(1, 3000),
    gaps=st.lists(st.integers(0, 2000), min_size=1, max_size=30),
    latenesses=LATENESSES,
    seed=st.integers(0, 1 << 32),
)
def test_no_window_has_more_calls_than_burst_and_rate_allow_and_all_begin(
    burst, interval, gaps, latenesses, seed
):
    random = Random(seed)
    limit = Limit(None, interval=interval * SECOND / 1000, burst=burst)
    line = Line(limit, lambda: random.uniform(*latenesses), random.random)
    for each, gap in enumerate(gaps):
        line.go_on(line.now + gap * SECOND / 1000)
        line.put(line.now, number(each))
    line.go_on(line.now + 10 * MINUTE)

    assert len(line.begun) == len(gaps)
    line.check_windows()


@settings(max_examples=50)
@given(
    burst=st.integers(1, 20),
    interval=st.floats(0.02, 60),
    latenesses=LATENESSES,
    seed=st.integers(0, 1 << 32),
)
def test_the_rate_is_reached_however_late_calls_come(burst, interval, latenesses, seed):
    """Later than its slack, always or at random; one that is not much later than others is parked
    once."""
    random = Random(seed)
    limit = Limit(None, interval=interval * SECOND, burst=burst)
    line = Line(limit, lambda: random.uniform(*latenesses), random.random)
    calls, latest = 100, max(latenesses) * SECOND
    for each in range(calls):
        line.put(NOW, number(each))
    is_steady = max(latenesses) - min(latenesses) <= STAY.total_seconds()
    line.go_on(NOW + calls * limit.spacing * (1.01 if is_steady else 2) + 3 * latest + 10 * SECOND)

    assert len(line.begun) == calls
    line.check_windows()
    assert sum(line.parkings.values()) <= 1.5 * calls
    assert not is_steady or set(line.parkings.values()) <= {1}
    assert line.guards <= 2 * calls + 10


def test_calls_that_are_always_as_late_are_parked_once():
    line = Line(Limit(None, interval=SECOND, burst=1), lambda: 3)
    for each in range(100):
        line.put(NOW, number(each))
    line.go_on(NOW + 160 * SECOND)

    assert len(line.begun) == 100
    assert set(line.parkings.values()) == {1}


def test_the_whole_rate_is_used():
    limit = Limit(None, interval=SECOND / 10, burst=10)
    line = Line(limit)
    for each in range(500):
        line.put(NOW, number(each))
    line.go_on(NOW + 20 * SECOND)

    assert 200 <= len([at for at in line.begun.values() if at <= NOW + 20 * SECOND]) <= 210
