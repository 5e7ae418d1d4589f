"""A step keeps its lease while its hooks run, and ends soon once its run is paused or cancelled."""

import datetime as dt
import threading
from contextlib import suppress

import pytest

from adjourn import QueryIter, Status
from adjourn.errors import StoreError
from adjourn.execution.delivery import Outcome
from adjourn.iteration.shard_step import ShardStep
from adjourn.iteration.shards import shard_key
from adjourn.testing import MemoryQuery
from tests.faults import CrashError, lose_answer

QUERY = MemoryQuery("Order")
LONG = dt.timedelta(seconds=75)
SECOND = dt.timedelta(seconds=1)


class Walk(QueryIter):
    """Does what a test says."""

    step_seconds = 20
    _on_entry = _on_finish = staticmethod(lambda: None)
    notes: list[object]

    def handle_entry(self, entry, custom_data):  # noqa: ARG002
        self.notes.append(entry)
        self._on_entry()

    def handle_finish(self, total_count, custom_data):  # noqa: ARG002
        self.notes.append(f"finished {total_count}")
        self._on_finish()

    def on_pause(self, custom_data):  # noqa: ARG002
        self.notes.append("paused")


@pytest.fixture
def declare(app, box, ran):
    box.queries.add("Order", 0, 1, 2)

    def declared(**members):
        hooks = {
            k: staticmethod(v) if k in vars(Walk) and callable(v) else v for k, v in members.items()
        }
        named = {"__module__": __name__, "notes": ran}
        return app.query_iter(type("Walk", (Walk,), named | hooks))

    return declared


def deliver_next(box):
    return box.deliver(box.queue.due()[0])


# Leases


def test_a_finish_that_takes_longer_than_its_lease_is_called_once(box, declare, ran):
    outcomes = []

    def finish():
        for _ in range(3):
            box.clock.advance(LONG)
            outcomes.append(lose_answer(box, queued))

    run = declare(_on_finish=finish).start(QUERY)
    deliver_next(box)
    queued = box.queue.due()[0]

    assert box.deliver(queued) is Outcome.DONE

    assert outcomes == [Outcome.BUSY] * 3
    assert ran == [0, 1, 2, "finished 3"]
    assert run.fetch().status is Status.FINISHED


def test_an_entity_that_takes_longer_than_the_lease_is_handled_once(box, declare, ran):
    outcomes = []

    def handle():
        box.clock.advance(LONG)
        outcomes.append(lose_answer(box, queued))

    run = declare(_on_entry=handle).start(QUERY)
    queued = box.queue.due()[0]
    box.deliver(queued)

    box.drain()

    assert outcomes[0] is Outcome.BUSY
    assert ran == [0, 1, 2, "finished 3"]
    assert run.fetch().status is Status.FINISHED


def test_a_run_is_not_paused_while_a_hook_runs(box, declare, ran):
    seen = []

    def handle():
        run.pause()
        box.clock.advance(LONG)
        box.drain()
        seen.append(run.fetch().status)

    run = declare(_on_entry=handle).start(QUERY)
    deliver_next(box)

    assert seen == [Status.PAUSING]
    assert ran == [0]
    box.drain()
    assert run.fetch().status is Status.PAUSED
    assert ran == [0, "paused"]


def test_a_run_is_not_paused_while_its_start_runs(box, declare, ran):
    seen = []

    def begin(_self, _custom_data):
        ran.append("begun")
        if not seen:
            run.pause()
            box.clock.advance(LONG)
            box.drain()
            seen.append(run.fetch().status)

    run = declare(on_start=begin).start(QUERY)
    deliver_next(box)

    assert seen == [Status.PAUSING]
    box.drain()
    assert (run.fetch().status, run.fetch().last_error) == (Status.PAUSED, "")
    run.resume()
    box.drain()
    assert ran == ["begun", "paused", "begun", 0, 1, 2, "finished 3"]


@pytest.mark.parametrize(("verb", "status"), [("pause", "paused"), ("cancel", "cancelled")])
def test_a_start_that_fails_meanwhile_does_not_put_off_the_end(box, declare, verb, status):
    def begin(_self, _custom_data):
        getattr(run, verb)()
        raise RuntimeError("broken")

    run = declare(on_start=begin).start(QUERY)
    deliver_next(box)

    for _ in range(5):
        deliver_next_of(box, None)

    state = run.fetch()
    assert (state.status, state.last_error) == (status, "")


def test_a_stopped_run_is_not_cancelled_while_a_hook_runs(app, box, ran):
    box.queries.add("Sale", *range(40))
    seen = []

    def handle_entry(_self, entry, _custom_data):
        if ran:
            raise RuntimeError("broken")
        ran.append(entry)
        deliver_next_of(box, queued)
        seen.append(run.fetch().status)
        run.cancel()
        for _ in range(5):
            deliver_next_of(box, queued)
        seen.append(run.fetch().status)

    members = {"__module__": __name__, "handle_entry": handle_entry, "max_entry_retries": 0}
    hooks = {"on_cancel": lambda *_: ran.append("cancelled"), "handle_error": lambda *_: False}
    walk = app.query_iter(type("Sell", (QueryIter,), members | hooks))
    run = walk.start(MemoryQuery("Sale"), shards=2)
    queued = box.queue.due()[0]
    box.deliver(queued)

    assert seen == [Status.STOPPED, Status.CANCELLING]
    assert len(ran) == 1
    box.drain()
    assert run.fetch().status is Status.CANCELLED
    assert ran[1:] == ["cancelled"]


def deliver_next_of(box, but):
    """Deliver what is due next but a task that is under way."""
    for each in [each for each in box.queue.due() if each is not but][:1]:
        box.deliver(each)


@pytest.mark.parametrize("lease_seconds", [0.4, 2, 600])
def test_a_lease_of_any_length_is_renewed(box, declare, ran, lease_seconds):
    outcomes = []

    def handle():
        box.clock.advance(dt.timedelta(seconds=3 * lease_seconds))
        outcomes.append(lose_answer(box, queued))

    declare(_on_entry=handle, lease_seconds=lease_seconds).start(QUERY)
    queued = box.queue.due()[0]
    box.deliver(queued)

    assert outcomes[0] is Outcome.BUSY
    assert ran[0] == 0


def test_a_hook_that_hangs_loses_its_lease_in_the_end(box, declare, ran):
    outcomes = []

    def hang():
        if not outcomes:
            outcomes.append(None)
            box.clock.advance(dt.timedelta(minutes=62))
            outcomes[0] = lose_answer(box, queued)

    declare(_on_entry=hang).start(QUERY)
    queued = box.queue.due()[0]

    assert box.deliver(queued) is Outcome.BUSY

    assert outcomes == [Outcome.DONE]
    assert ran == [0, 0, 1, 2]


def test_a_heartbeat_that_fails_is_repeated(box, declare, ran, lines):
    working, outcomes = box.store.read, []

    def read(_keys):
        raise StoreError("away")

    def handle():
        if not outcomes:
            box.store.read = read
            box.clock.advance(2 * SECOND)
            box.store.read = working
            box.clock.advance(LONG)
            outcomes.append(lose_answer(box, queued))

    declare(_on_entry=handle, step_seconds=300).start(QUERY)
    queued = box.queue.due()[0]
    box.deliver(queued)
    box.drain()

    assert outcomes == [Outcome.BUSY]
    assert ran == [0, 1, 2, "finished 3"]
    assert [line["event"] for line in lines()].count("iteration.heartbeat") == 2


def test_a_step_that_lost_its_lease_ends_at_the_next_heartbeat(box, declare, ran):
    def handle():
        if len(ran) == 1:
            box.clock._now += LONG  # the process stands still, and so does its heartbeat
            lose_answer(box, queued)
            box.clock.advance(SECOND)

    declare(_on_entry=handle).start(QUERY)
    queued = box.queue.due()[0]

    assert box.deliver(queued) is Outcome.BUSY

    assert ran == [0, 0, 1, 2]


class TellingLock:
    """A lock that tells when another thread wants it."""

    def __init__(self):
        self.lock, self.wanted = threading.RLock(), threading.Event()

    def __enter__(self):
        if threading.current_thread() is not threading.main_thread():
            self.wanted.set()
        self.lock.acquire()

    def __exit__(self, *_):
        self.lock.release()


def test_a_heartbeat_never_takes_back_a_position_that_is_being_saved(
    box, declare, ran, monkeypatch
):
    lock, working, beats = TellingLock(), box.store.replace, []

    def carry_out(step):
        step.lock = lock
        return original(step)

    def replace(key, record, **options):
        """Let a heartbeat come while the position after the first entity is being saved."""
        if record.get("done") == 1 and not beats:
            beats.append(threading.Thread(target=box.clock.advance, args=(6 * LONG,)))
            beats[0].start()
            assert lock.wanted.wait(10)
        return working(key, record, **options)

    original = ShardStep.carry_out
    monkeypatch.setattr(ShardStep, "carry_out", carry_out)
    seen = []

    def handle():
        if len(ran) < 4:
            raise CrashError
        if beats and not seen:
            beats[0].join(10)
            seen.append(box.store.get([shard_key(run.id, 0)])[0]["done"])

    run = declare(_on_entry=handle, step_seconds=300).start(QUERY)
    for _ in range(3):
        with suppress(CrashError):
            deliver_next(box)
        box.clock.advance(dt.timedelta(minutes=10))
    box.store.replace = replace
    deliver_next(box)

    assert seen == [1]


# Pausing and cancelling


@pytest.mark.parametrize("verb", ["pause", "cancel"])
@pytest.mark.parametrize("per_second", [1, 10, 100])
def test_a_run_ends_within_a_second(app, box, ran, verb, per_second):
    box.queries.add("Sale", *range(1000))

    def handle_entry(_self, entry, _custom_data):
        ran.append(entry)
        if entry == 50:
            getattr(run, verb)()
        box.clock.advance(SECOND / per_second)

    members = {"__module__": __name__, "step_seconds": 300, "handle_entry": handle_entry}
    run = app.query_iter(type("Sell", (QueryIter,), members)).start(MemoryQuery("Sale"))
    box.drain()

    assert run.fetch().status in {Status.PAUSED, Status.CANCELLED}
    assert len(ran) <= 51 + per_second


def test_entities_that_wait_do_not_put_off_the_end(box, declare):
    def fail():
        run.cancel()
        raise RuntimeError("broken")

    run = declare(_on_entry=fail).start(QUERY)
    deliver_next(box)
    assert box.store.get([shard_key(run.id, 0)])[0]["due_at"] > box.clock.now()

    deliver_due(box)

    assert run.fetch().status is Status.CANCELLED


def deliver_due(box):
    """Deliver what is due without waiting for what is not."""
    while due := box.queue.due():
        box.deliver(due[0])
