"""Calls of a flow with a rate: some begin at once, the others in their turn."""

import datetime as dt

import pytest

from adjourn import Flow
from adjourn.flow.limits import GUARD

SECOND = dt.timedelta(seconds=1)


@pytest.fixture
def begun():
    return []


@pytest.fixture
def task(app, box, begun):
    return declare(app, box, begun, Flow(key="tenant", rate="2/s", burst=4))


def declare(app, box, begun, flow):
    @app.deferred(name="work", flow=flow)
    def work(tenant, number):  # noqa: ARG001
        begun.append((number, (box.clock.now() - start).total_seconds()))

    start = box.clock.now()
    return work


def let_pass(box, seconds, step=0.1):
    for _ in range(round(seconds / step)):
        box.travel(by=step)
        box.drain()


def test_a_burst_begins_at_once_and_the_rest_at_the_rate_in_order(task, box, begun):
    for number in range(12):
        task("a", number)
    box.drain()
    at_once = len(begun)
    let_pass(box, 6)

    assert at_once in {2, 3}  # of a burst of four, some is kept for those who begin late
    assert [number for number, _ in begun] == list(range(12))
    times = [at for _, at in begun]
    assert times[-1] == pytest.approx(5, abs=0.6)
    for first in range(12):
        assert sum(times[first] <= at < times[first] + 1 for at in times) <= 6


def test_a_call_that_begins_at_once_costs_one_write(task, box, monkeypatch):
    commits, commit = [], box.store.commit
    monkeypatch.setattr(
        box.store, "commit", lambda changes: (commits.append(len(changes)), commit(changes))
    )
    task("a", 0)
    box.drain()

    assert [each for each in commits if each] == [1]


def test_keys_have_rates_of_their_own(task, box, begun):
    for number in range(20):
        task("a", number)
    task("b", 20)
    box.drain()

    assert 20 in [number for number, _ in begun]


def test_calls_that_all_come_late_still_begin_within_the_rate(task, box, begun):
    for number in range(12):
        task("a", number)
    box.drain()
    let_pass(box, 30, step=5)
    let_pass(box, 10)

    assert sorted(number for number, _ in begun) == list(range(12))
    times = [at for _, at in begun]
    assert max(times.count(at) for at in times) <= 4


def test_a_rate_and_a_concurrency_hold_together(app, box, begun):
    task = declare(app, box, begun, Flow(concurrency=1, rate="2/s", burst=4))
    for number in range(8):
        task("a", number)
    box.drain()
    let_pass(box, 5)

    assert [number for number, _ in begun] == list(range(8))
    view = app.flows().get("work", "")
    assert (view.running, view.waiting) == (0, 0)
    assert view.limits == "concurrency=1 rate=2/s burst=4"


def test_a_rate_is_changed_live(task, app, box, begun):
    app.flows().limit("work", rate="100/s")
    for number in range(40):
        task("a", number)
    box.drain()

    assert len(begun) == 40
    assert app.flows().get("work", "a").limits == "rate=100/s burst=100"


def test_guards_do_not_grow_with_the_line(task, box):
    for number in range(30):
        task("a", number)
    box.drain()

    assert sum(each.task.label == GUARD for each in box.queue.tasks.values()) <= 2


def let_pass_late(box, seconds, lateness):
    """Let time pass; each task is delivered so late."""
    for _ in range(seconds * 10):
        box.travel(by=0.1)
        for queued in box.queue.due():
            if box.clock.now() - queued.due >= lateness * SECOND:
                box.deliver(queued)


@pytest.mark.parametrize(("rate", "burst"), [("1/s", 2), ("6/m", 1), ("1/s", 1)])
def test_calls_that_always_come_later_than_the_slack_reach_the_rate(app, box, begun, rate, burst):
    task, commits = declare(app, box, begun, Flow(rate=rate, burst=burst)), []
    calls, interval = 20, {"1/s": 1, "6/m": 10}[rate]
    for number in range(calls):
        task("a", number)
    commit = box.store.commit
    box.store.commit = lambda changes: (commits.append(len(changes)), commit(changes))
    let_pass_late(box, round(1.5 * calls * interval) + 10, 3)

    assert sorted(number for number, _ in begun) == list(range(calls))
    times = [at for _, at in begun]
    for first in range(calls):
        assert sum(times[first] <= at < times[first] + 10 * interval for at in times) <= burst + 10
    assert sum(map(bool, commits)) <= 4 * calls
