"""However calls come, run, die and are lost: no limit is exceeded, nobody overtakes, none is lost.

A model stands for the deployment: deliveries, processes that die, tasks that were created or not.
"""

import datetime as dt

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from adjourn.flow import permits
from adjourn.flow.permits import ARRIVAL, ROUND, FlowState, Permit
from adjourn.flow.rates import Limit
from adjourn.names import CallIdentity

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
LEASE = dt.timedelta(minutes=5)
SECOND = dt.timedelta(seconds=1)


def call(number):
    return CallIdentity(f"{number}", f"print-{number}")


class Deployment(RuleBasedStateMachine):
    """One key of a flow. Each call is delivered, and again where its process died."""

    def __init__(self):
        super().__init__()
        self.state, self.limit, self.now = FlowState(), Limit(2), NOW
        self.made = 0
        self.at_door = set()  # calls with a task that is delivered sometime
        self.waiting = []  # calls in the order in which they should be called
        self.untold = set()  # calls that were called by a process that died before it made the task
        self.running = {}  # holders by call, of processes that live
        self.done, self.cancelled = set(), set()
        self.holders = 0
        self.most = 2

    def commit(self, state):
        """Do what each transaction does at its end."""
        numbers = range(self.state.first_page, state.next_page)
        assert {number for number, page in state.pages.items() if page} <= set(numbers)
        state, called = state.granted(self.limit, self.now, lambda each: each not in self.cancelled)
        for each in called:
            self.waiting = [other for other in self.waiting if other not in self.cancelled]
            assert each == self.waiting.pop(0)
        assert state.unread(self.limit, self.now) is None  # here all pages were read
        self.state = state.guarded(self.limit, self.now)
        return called

    def visit(self, each):
        state = self.state.swept(self.now)
        permit = state.permit_of(each)
        if permit and permit.holder:
            return []  # a redelivery while the lease of a dead one lasts
        has_waited = each in self.has_waited
        self.at_door.discard(each)
        if state.is_open_to(each, self.limit, has_waited=has_waited):
            self.holders += 1
            self.running[each] = str(self.holders)
            state = state.entered(Permit(each, self.now + LEASE, str(self.holders)))
            assert len(self.running) <= self.limit.concurrency
        else:
            state = state.left(each).parked(each, in_front=has_waited)
            place = state.front - 1 if has_waited else len(self.waiting)
            self.waiting.insert(place, each)
            self.has_waited.add(each)
        return self.commit(state)

    has_waited: set

    @rule()
    def start(self):
        self.__dict__.setdefault("has_waited", set())
        self.made += 1
        self.at_door.add(call(self.made))

    @precondition(lambda self: self.at_door)
    @rule(data=st.data(), dies=st.booleans())
    def deliver(self, data, dies):
        each = data.draw(st.sampled_from(sorted(self.at_door)))
        self.tell(self.visit(each), dies=dies)

    def tell(self, called, *, dies):
        (self.untold if dies else self.at_door).update(called)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), dies=st.booleans())
    def end(self, data, dies):
        each = data.draw(st.sampled_from(sorted(self.running)))
        holder = self.running.pop(each)
        self.done.add(each)
        self.tell(self.commit(self.state.swept(self.now).left(each, holder)), dies=dies)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def die(self, data):
        """A process dies, and Cloud Tasks delivers its task again."""
        each = data.draw(st.sampled_from(sorted(self.running)))
        del self.running[each]
        self.at_door.add(each)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data):
        each = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(each)
        self.cancelled.add(each)

    @rule(concurrency=st.integers(1, 4), is_paused=st.booleans())
    def change_limit(self, concurrency, is_paused):
        # What runs goes on when the limit is lowered: it is not a window over the new one.
        if concurrency >= len(self.state.permits):
            self.limit = Limit(concurrency, is_paused)
            self.guard()

    @precondition(lambda self: not self.running)
    @rule(seconds=st.integers(1, 400))
    def time_passes(self, seconds):
        """Time passes in which nobody runs: an attempt never outlives its lease."""
        self.now += seconds * SECOND
        if self.state.guard_at and self.state.guard_at <= self.now:
            self.guard()

    def guard(self):
        overdue = self.state.overdue(self.now)
        for each in set(overdue) & self.untold:
            self.untold.discard(each)
            self.at_door.add(each)
        state = self.state.swept(self.now, overdue)
        is_due = state.guard_at is not None and state.guard_at <= self.now
        self.tell(self.commit(state._replace(guard_at=None) if is_due else state), dies=False)

    @invariant()
    def never_more_run_than_allowed(self):
        assert len(self.running) <= len(self.state.permits) <= max(4, self.limit.concurrency)

    @invariant()
    def everybody_is_somewhere(self):
        everywhere = self.at_door | {*self.waiting} | self.untold | set(self.running) | self.done
        assert everywhere | self.cancelled >= {call(n + 1) for n in range(self.made)}
        assert self.state.length >= len(self.waiting)

    @invariant()
    def a_guard_comes_where_somebody_may_have_been_lost(self):
        may_be_lost = self.untold or (self.waiting and self.state.permits)
        if may_be_lost:
            assert self.state.guard_at is not None
            assert self.state.guard_at <= self.now + ROUND + SECOND

    def teardown(self):
        """In the end all run, if only time passes and nothing else goes wrong."""
        self.limit = Limit(2)
        for _ in range(20 * self.made + 20):
            if len(self.done | self.cancelled) == self.made:
                break
            for each in sorted(self.running):
                self.tell(self.commit(self.state.left(each, self.running.pop(each))), dies=False)
                self.done.add(each)
            for each in sorted(self.at_door):
                self.tell(self.visit(each), dies=False)
            if not self.running:
                self.now += LEASE
                self.guard()
        assert self.done | self.cancelled >= {call(n + 1) for n in range(self.made)}


@pytest.fixture(autouse=True, scope="module")
def _small_pages():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(permits, "PAGE", 2)
        yield


TestDeployment = Deployment.TestCase
TestDeployment.settings = settings(max_examples=150, stateful_step_count=40)


def test_one_that_waits_keeps_others_from_overtaking():
    state = FlowState().parked(call(1), in_front=False)

    assert not state.is_open_to(call(2), Limit(5), has_waited=False)


def test_who_was_called_and_comes_too_late_stands_in_front():
    state = FlowState().parked(call(1), in_front=False).parked(call(2), in_front=True)

    assert state.waiting == (call(2), call(1))
    state = state.parked(call(3), in_front=True)
    assert state.waiting == (call(2), call(3), call(1))
    state, called = state.granted(Limit(1), NOW, bool)
    assert called == [call(2)]
    assert state.parked(call(4), in_front=True).waiting == (call(3), call(4), call(1))


def test_a_permit_is_given_back_by_its_holder_alone():
    state = FlowState().entered(Permit(call(1), NOW + LEASE, "new"))

    assert state.left(call(1), "old") == state
    assert state.left(call(1), "new") == FlowState()


def test_only_a_guard_takes_the_permit_of_one_that_was_called():
    state, called = FlowState().parked(call(1), in_front=False).granted(Limit(1), NOW, bool)
    late = NOW + ARRIVAL

    assert called == [call(1)]
    assert state.swept(late) == state
    assert state.swept(late, state.overdue(late)).permits == ()


def test_a_line_over_many_pages_keeps_its_order():
    state, order = FlowState(), []
    for number in range(11):
        state = state.parked(call(number), in_front=False)
    assert (len(state.waiting), state.first_page, state.next_page, state.last) == (
        2,
        0,
        4,
        (call(10),),
    )
    assert set(state.pages) == {0, 1, 2, 3}
    unread = state._replace(waiting=(), pages={})
    assert unread.granted(Limit(3), NOW, bool) == (unread, [])
    assert unread.unread(Limit(3), NOW) == 0
    while state.length:
        state, called = state.granted(Limit(3), NOW, bool)
        order += called
        state = state._replace(permits=())

    assert order == [call(number) for number in range(11)]
    assert not any(state.pages.values())


def test_those_in_the_last_part_are_counted_while_nobody_stands_before_them():
    state = FlowState()
    for number in range(3):
        state = state.parked(call(number), in_front=False)
    state, called = state.granted(Limit(2), NOW, bool)

    assert (called, state.length) == ([call(0), call(1)], 1)
    assert not state.is_open_to(call(3), Limit(3), has_waited=False)


def test_a_guard_that_is_lost_is_called_again():
    running = Permit(call(1), NOW + LEASE, "a")
    state = FlowState().entered(running).parked(call(2), in_front=False).guarded(Limit(1), NOW)

    assert state.guard_at == NOW + ROUND + SECOND
    assert state.guarded(Limit(1), NOW + ROUND).guard_at == state.guard_at
    late = state.guard_at + ROUND
    assert state.guarded(Limit(1), late).guard_at == NOW + LEASE + SECOND


def test_nobody_waits_for_a_guard_where_nobody_waits():
    state = FlowState().entered(Permit(call(1), NOW + LEASE, "a"))

    assert state.guarded(Limit(1), NOW).guard_at is None
