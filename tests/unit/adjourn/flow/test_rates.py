"""Which rates there are, and that no window has more calls than they allow."""

import datetime as dt
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adjourn import DeclarationError, Flow
from adjourn.flow.permits import FlowState
from adjourn.flow.rates import Limit, rate_of
from adjourn.names import CallIdentity

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)
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
    """Calls that come, wait and begin, each as late as the test says."""

    def __init__(self, limit):
        self.limit, self.state, self.now = limit, FlowState(), NOW
        self.begun, self.called = [], []

    def come(self, call, lateness, *, has_waited=False):
        start = self.state.start(call, self.limit, self.now, has_waited=has_waited, patience=STAY)
        if start is None:
            self.state = self.state.left(call).parked(call, in_front=has_waited)
        else:
            if not start.is_leased:
                self.state = self.state.spent(self.limit, start.at)
            self.state = self.state.left(call)
            self.begun.append(start.at + lateness * (start.deadline - start.at))
        self.commit()

    def commit(self):
        self.state, called = self.state.granted(self.limit, self.now, bool)
        self.called += [(self.state.permit_of(each).slot, each) for each in called]
        self.state = self.state.guarded(self.limit, self.now)

    def go_on(self, until, lateness):
        """Let time pass until then, with guards and those who were called."""
        while True:
            delay = lateness * 3 * self.limit.slack
            events = [(slot + delay, each) for slot, each in self.called]
            if self.state.guard_at:
                events.append((self.state.guard_at, None))
            at, call = min(events, default=(until, None), key=lambda each: each[0])
            if at >= until:
                self.now = until
                return
            self.now = max(self.now, at)
            if call is None:
                self.state = self.state._replace(guard_at=None)
                self.commit()
            else:
                self.called = [each for each in self.called if each[1] != call]
                self.come(call, lateness, has_waited=True)


@settings(max_examples=150, deadline=None)
@given(
    burst=st.integers(1, 6),
    interval=st.integers(1, 3000),
    calls=st.lists(st.tuples(st.integers(0, 2000), st.floats(0, 1)), min_size=1, max_size=30),
)
def test_no_window_has_more_calls_than_burst_and_rate_allow_and_all_begin(burst, interval, calls):
    limit = Limit(None, interval=interval * SECOND / 1000, burst=burst)
    line = Line(limit)
    for number, (gap, lateness) in enumerate(calls):
        line.go_on(line.now + gap * SECOND / 1000, lateness)
        line.come(CallIdentity(f"{number}", ""), lateness)
    for _ in range(100):
        line.go_on(line.now + 10 * SECOND, 0.5)

    assert len(line.begun) == len(calls)
    begun = sorted(line.begun)
    for first, last in combinations(range(len(begun)), 2):
        allowed = burst + (begun[last] - begun[first]) // limit.interval
        assert last - first + 1 <= allowed, (begun[first], begun[last])


def test_the_whole_rate_is_used():
    limit = Limit(None, interval=SECOND / 10, burst=10)
    line = Line(limit)
    for number in range(500):
        line.come(CallIdentity(f"{number}", ""), 0)
    line.go_on(NOW + 20 * SECOND, 0)

    assert 200 <= len([each for each in line.begun if each <= NOW + 20 * SECOND]) <= 210
