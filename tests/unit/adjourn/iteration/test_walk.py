"""How long a step goes on, what it costs, what it reads ahead, and what it keeps of the data."""

import datetime as dt
import itertools
import signal
import threading
from dataclasses import replace

import pytest

from adjourn import QueryIter, Status
from adjourn.concurrency import ahead, is_stopping
from adjourn.errors import DeclarationError, StoreError
from adjourn.iteration.custom_data import MOST_INSIDE
from adjourn.iteration.shards import Shard, shard_key
from adjourn.ports import RecordKey
from adjourn.state.large_payloads import KIND as PAYLOAD
from adjourn.testing import SETTINGS, MemoryQuery, Sandbox
from tests.faults import lose_answer

QUERY = MemoryQuery("Order")
NOON = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)


class Walk(QueryIter):
    """Takes a second for each entity."""

    batch_size = 5
    notes: list[object]
    box: Sandbox

    def handle_entry(self, entry, custom_data):  # noqa: ARG002
        self.box.clock.advance(SECOND)
        self.notes.append(entry)


@pytest.fixture
def declare(app, box, ran):
    def declared(**members):
        named = {"__module__": __name__, "notes": ran, "box": box}
        return app.query_iter(type("Walk", (Walk,), named | members))

    return declared


def stored(box, run):
    return box.store.get([shard_key(run.id, 0)])[0]


# Time


def test_a_step_finds_out_how_long_it_may_take(box, declare):
    box.queries.add("Order", *range(1000))
    run = declare().start(QUERY)
    done = [0]
    while box.queue.tasks and stored(box, run)["is_ended"] is False:
        box.deliver(box.queue.due()[0])
        done.append(stored(box, run)["done"])
    steps = [after - before for before, after in itertools.pairwise(done)]

    assert steps == [10, 20, 40, 80, 120, 120, 120, 120, 120, 120, 120, 10]


def test_a_step_that_died_makes_the_next_one_dare_half(box, declare):
    box.queries.add("Order", *range(100))
    run = declare().start(QUERY)
    box.deliver(box.queue.due()[0])
    key = shard_key(run.id, 0)
    box.store.put(key, {**stored(box, run), "lease_until": box.clock.now() - SECOND})

    box.deliver(box.queue.due()[0])

    assert stored(box, run)["done"] == 20  # ten in the first, and not twenty in the second


def test_a_step_never_dares_nothing():
    shard = Shard(run_id="r", number=0, query=b"", updated_at=NOON, lease_until=NOON)

    for _ in range(10):
        shard = shard.claimed(NOON, None, None)

    assert shard.seconds == 1


@pytest.mark.parametrize(
    ("step_seconds", "lease_seconds", "seconds", "lease"),
    [
        (None, None, 40, 80),
        (None, 7, 40, 7),
        (20, None, 20, 60),
        (300, None, 300, 600),
        (300, 400, 300, 400),
    ],
)
def test_a_claim_lasts_longer_than_a_step(step_seconds, lease_seconds, seconds, lease):
    shard = Shard(run_id="r", number=0, query=b"", updated_at=NOON, seconds=40)

    claimed = shard.claimed(NOON, step_seconds, lease_seconds)

    assert (claimed.seconds, claimed.lease_until) == (seconds, NOON + lease * SECOND)
    assert claimed.token == 1


def test_a_step_that_is_told_to_stop_keeps_what_it_did_and_fails_in_nothing(app, box, declare, ran):
    box.queries.add("Order", *range(30))
    walk = declare(step_seconds=300)
    wiring = app.wiring()
    wiring._adapters = replace(
        wiring._adapters, is_stopping=lambda: bool(ran) and len(ran) % 7 == 0
    )
    run = walk.start(QUERY)
    first = box.queue.due()[0]

    box.deliver(first)

    assert ran == list(range(7))
    assert (stored(box, run)["done"], stored(box, run)["step"]) == (7, 1)
    assert stored(box, run)["lease_until"] is None
    box.drain()
    assert ran == list(range(30))
    assert run.fetch().errors == 0


class Gunicorn:
    alive = True

    def handle_exit(self, *_):
        self.alive = False


class Uvicorn:
    should_exit = False

    def handle_exit(self, *_):
        self.should_exit = True


@pytest.mark.parametrize("worker", [Gunicorn(), Uvicorn()])
def test_a_process_is_stopping_when_the_worker_in_it_is(worker):
    before = signal.getsignal(signal.SIGTERM)
    try:
        signal.signal(signal.SIGTERM, worker.handle_exit)
        assert not is_stopping()
        signal.raise_signal(signal.SIGTERM)
        assert is_stopping()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        assert not is_stopping()
    finally:
        signal.signal(signal.SIGTERM, before)


# Cost


def test_a_step_costs_one_lookup_and_two_commits(box, declare):
    box.queries.add("Order", *range(100))
    walk = declare(handle_entry=lambda *_: box.clock.advance(SECOND / 10), step_seconds=0.5)
    walk.start(QUERY)
    operations = []
    for name in ("read", "commit", "transact"):
        watch(box.store, name, operations)

    box.deliver(box.queue.due()[0])

    assert operations == ["read", "commit", "commit"]


def test_a_step_costs_a_lookup_more_for_each_second(box, declare):
    box.queries.add("Order", *range(100))
    declare(step_seconds=20).start(QUERY)
    operations = []
    for name in ("read", "commit", "transact"):
        watch(box.store, name, operations)

    box.deliver(box.queue.due()[0])

    assert operations == ["read", "commit", *["read"] * 20, "commit"]


def watch(part, name, operations):
    working = getattr(part, name)

    def watched(*args, **kwargs):
        operations.append(name)
        return working(*args, **kwargs)

    setattr(part, name, watched)


# Reading ahead


def test_the_next_page_is_read_while_this_one_is_handled(app, box, declare, ran):
    wiring = app.wiring()
    wiring._adapters = replace(wiring._adapters, ahead=ahead)
    box.queries.add("Order", *range(12))
    second = threading.Event()
    working = box.queries.page

    def page(query, *, cursor, limit):
        if cursor:
            second.set()
        return working(query, cursor=cursor, limit=limit)

    box.queries.page = page

    def handle_entry(_self, entry, _custom_data):
        assert second.wait(30)
        ran.append((entry, threading.current_thread() is threading.main_thread()))

    run = declare(handle_entry=handle_entry).start(QUERY)
    box.drain()

    assert ran == [(n, True) for n in range(12)]
    assert run.fetch().status is Status.FINISHED


def test_a_page_that_cannot_be_read_ahead_fails_when_it_is_needed(app, box, declare, ran):
    wiring = app.wiring()
    wiring._adapters = replace(wiring._adapters, ahead=ahead)
    box.queries.add("Order", *range(12))
    working = box.queries.page

    def page(query, *, cursor, limit):
        if cursor:
            raise StoreError("away")
        return working(query, cursor=cursor, limit=limit)

    box.queries.page = page
    run = declare().start(QUERY)

    box.drain()

    assert ran == list(range(5))
    assert stored(box, run)["done"] == 5
    box.queries.page = working
    box.drain()
    assert ran == list(range(12))


# Data


def payloads(box):
    return sorted(key.name for key in box.store.records if key.kind == PAYLOAD)


def test_large_data_are_kept_beside_the_run_and_leave_nothing_behind(box, declare, ran):
    def handle_entry(_self, entry, custom_data):
        box.clock.advance(SECOND)
        custom_data["seen"].append(entry)

    def handle_finish(_self, _total, custom_data):
        ran.append((len(custom_data["big"]), custom_data["seen"]))

    box.queries.add("Order", *range(25))
    big = "x" * (2 * MOST_INSIDE)
    walk = declare(step_seconds=5, handle_entry=handle_entry, handle_finish=handle_finish)
    run = walk.start(QUERY, {"big": big, "seen": []})
    kept = []
    while box.queue.tasks:
        box.deliver(box.queue.due()[0])
        assert len(stored(box, run)["custom_data"]) < 1000
        kept.append(len(payloads(box)))

    assert ran == [(len(big), list(range(25)))]
    assert max(kept) == 2  # those of the start and those of the last step
    assert len(payloads(box)) == 1  # what the run has in the end
    assert run.fetch().status is Status.FINISHED


def test_large_data_of_a_step_that_is_shut_out_are_not_those_of_the_run(box, declare, ran):
    box.queries.add("Order", *range(4))

    def handle_entry(_self, entry, custom_data):
        if entry == 1 and not ran:
            ran.append("late")
            box.clock.advance(dt.timedelta(minutes=5))
            lose_answer(box, queued)
        custom_data["seen"].append(entry)

    def handle_finish(_self, _total, custom_data):
        ran.append(custom_data["seen"])

    walk = declare(handle_entry=handle_entry, handle_finish=handle_finish)
    walk.start(QUERY, {"big": "x" * MOST_INSIDE, "seen": []})
    (queued,) = box.queue.due()

    box.drain()
    box.drain()

    assert ran == ["late", [0, 1, 2, 3]]


def test_what_an_unfinished_step_changed_is_dropped(box, declare, ran):
    class DeathError(KeyboardInterrupt):
        pass

    def handle_entry(_self, entry, custom_data):
        if entry == 3 and not ran:
            ran.append("died")
            raise DeathError
        custom_data.append(entry)

    def handle_finish(_self, _total, custom_data):
        ran.append(custom_data)

    box.queries.add("Order", *range(5))
    declare(handle_entry=handle_entry, handle_finish=handle_finish).start(QUERY, [])
    with pytest.raises(DeathError):
        box.drain()
    box.clock.advance(dt.timedelta(minutes=5))

    box.drain()

    assert ran == ["died", [0, 1, 2, 3, 4]]


# Names


def test_a_run_is_carried_on_under_a_new_name_of_its_class(app, box, ran):
    box.queries.add("Order", *range(3))
    old = type("Old", (Walk,), {"__module__": __name__, "notes": ran, "box": box})
    run = app.query_iter(name="shop.Old")(old).start(QUERY)
    new = type("New", (Walk,), {"__module__": __name__, "notes": ran, "box": box})
    app.query_iter(name="shop.Other")(type("Other", (Walk,), {"__module__": __name__}))
    del app._declared.iterations._items["shop.Old"]
    app.query_iter(name="shop.New", aliases=["shop.Old"])(new)

    box.drain()

    assert ran == [0, 1, 2]
    assert run.fetch().status is Status.FINISHED


def test_the_reviver_is_declared_once(app, declare):
    declare()
    other = type("Other", (Walk,), {"__module__": __name__})
    app.query_iter(other)

    assert app.cron_names() == {"adjourn"}
    assert SETTINGS.queue in app.queues(SETTINGS.queue)


def test_the_name_of_a_shard_tells_its_run():
    assert shard_key("r", 12) == RecordKey("AdjournShard", "r-0012")


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("step_seconds", 0),
        ("step_seconds", 301),
        ("step_seconds", True),
        ("lease_seconds", 0),
        ("lease_seconds", 3601),
        ("max_entry_retries", -1),
        ("max_entry_retries", 1.5),
        ("batch_size", 0),
    ],
)
def test_wrong_attributes_are_refused(declare, member, value):
    with pytest.raises(ValueError, match=rf"Walk\.{member}=.* must be"):
        declare(**{member: value})


# Failures that stop a run


@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize(
    ("most", "given_up"), [(0, 1), (1, 2), (4, 5), (0.0, 1), (0.1, 3), (0.5, 11), (None, 20)]
)
def test_a_run_stops_once_too_many_entities_failed(box, declare, most, given_up, shards):
    def fail(*_):
        raise RuntimeError("broken")

    box.queries.add("Order", *range(20))
    walk = declare(handle_entry=fail, max_entry_retries=0, max_failures=most)
    run = walk.start(QUERY, shards=shards)

    box.drain()

    state = run.fetch()
    assert (state.done, state.errors) == (given_up, given_up)
    assert state.status is (Status.FINISHED if most is None else Status.STOPPED)
    if most is not None:
        assert state.last_error == (
            "More entities failed than max_failures allows; the last: RuntimeError: broken"
        )


def test_a_share_of_failures_is_not_rounded_down(app, box):
    """0.29 * 100 is 28.999999999999996."""

    def fail(_self, entry, _data):
        if entry < 29:
            raise RuntimeError("broken")

    box.queries.add("Sale", *range(100))
    members = {"__module__": __name__, "handle_entry": fail, "handle_error": lambda *_: True}
    limits = {"max_entry_retries": 0, "max_failures": 0.29}
    walk = app.query_iter(type("Sell", (QueryIter,), members | limits))
    run = walk.start(MemoryQuery("Sale"))

    box.drain()

    assert (run.fetch().status, run.fetch().errors) == (Status.FINISHED, 29)


def test_a_run_that_is_retried_counts_its_failures_anew(box, declare, ran):
    def fail(_self, entry, _data):
        ran.append(entry)
        raise RuntimeError("broken")

    box.queries.add("Order", *range(7))
    run = declare(handle_entry=fail, max_entry_retries=0, max_failures=2).start(QUERY)
    for _ in range(3):
        box.drain()
        run.retry()
    box.drain()

    assert ran == list(range(7))
    assert (run.fetch().status, run.fetch().errors) == (Status.FINISHED, 7)


@pytest.mark.parametrize("most", [-1, 1.0, 1.5, True, "3", float("nan")])
def test_a_limit_of_failures_that_is_none_is_refused(declare, most):
    with pytest.raises(DeclarationError, match=r"max_failures=.* must be a whole number from 0"):
        declare(max_failures=most)
