"""The pace of a run: its shards together are never faster, and it can be changed on the way."""

import datetime as dt
import itertools
import threading
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adjourn import App, DeclarationError, DeleteEntitiesIter, QueryIter, Status
from adjourn.iteration.shards import shard_key
from adjourn.testing import MemoryQuery, sandbox

QUERY = MemoryQuery("Order")
SECOND = dt.timedelta(seconds=1)


class Walk(QueryIter):
    """Notes when it is given which entities."""

    batch_size = 20
    taken = 0.0
    broken: set[int]
    notes: list[tuple[float, object]]

    def handle_entry(self, entry, custom_data):  # noqa: ARG002
        self.notes.append((self.box.clock.monotonic(), entry))
        self.box.clock.advance(self.taken * SECOND)
        if entry in self.broken:
            raise RuntimeError("broken")


def handle_batch(self, entries, custom_data):  # noqa: ARG001
    at = self.box.clock.monotonic()
    self.notes.extend((at, entry) for entry in entries)
    self.box.clock.advance(self.taken * SECOND)
    return [RuntimeError("broken") if each in self.broken else None for each in entries]


@pytest.fixture
def declare(app, box, ran):
    def declared(**members):
        named = {"__module__": __name__, "notes": ran, "box": box, "broken": set()}
        return app.query_iter(type("Walk", (Walk,), named | members))

    return declared


def let_time_pass(box):
    """Let the clock go on while a step waits, as it does outside of a sandbox."""
    wiring = box.app.wiring()
    wait = lambda event, seconds: event.is_set() or box.clock.advance(seconds * SECOND)  # noqa: E731
    wiring._adapters = replace(wiring._adapters, wait=wait)


def go_on(box):
    """Deliver what is due, as time passes, until the run has ended."""
    for _ in range(5000):
        if not box.queue.tasks:
            return
        if due := box.queue.due():
            box.deliver(due[0])
        else:
            box.clock.advance(box.queue.next_due() - box.clock.now())
    raise AssertionError("it never ends")


def fastest(times, per_second):
    """Return by how many entities the pace was exceeded in the worst period."""
    times = sorted(times)
    return max(
        count + 1 - per_second * (times[first + count] - times[first])
        for first in range(len(times))
        for count in range(len(times) - first)
    )


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], database=None)
@given(
    entities=st.integers(1, 60),
    shards=st.integers(1, 4),
    per_second=st.sampled_from([0.02, 0.3, 1, 5, 7.5, 40, 1000]),
    in_batches=st.booleans(),
    step_seconds=st.sampled_from([None, 0.5, 30]),
    taken=st.sampled_from([0.0, 0.01, 3.0]),
    waits=st.booleans(),
    broken=st.sets(st.integers(0, 59), max_size=5),
)
def test_all_shards_together_never_exceed_the_pace(  # noqa: PLR0917
    entities, shards, per_second, in_batches, step_seconds, taken, waits, broken
):
    app, notes = App(), []
    with sandbox(app) as box:
        members = {"__module__": __name__, "notes": notes, "box": box, "broken": broken}
        members |= {"step_seconds": step_seconds, "taken": taken, "max_entry_retries": 1}
        if in_batches:
            members |= {"handle_batch": handle_batch, "handle_entry": QueryIter.handle_entry}
        walk = app.query_iter(type("Walk", (Walk,), members))
        box.queries.add("Order", *range(entities))
        if waits:
            let_time_pass(box)

        walk.start(QUERY, shards=shards, entities_per_second=per_second)
        go_on(box)

    assert {entry for _, entry in notes} == set(range(entities))
    # Each shard that is at work may begin with a second's worth, but with one entity at least.
    assert fastest([at for at, _ in notes], per_second) <= per_second + shards + 0.001


def test_the_pace_is_reached_when_entities_take_no_time(box, declare, ran):
    box.queries.add("Order", *range(400))
    run = declare().start(QUERY, shards=4, entities_per_second=50)

    go_on(box)

    assert len(ran) == 400
    assert 7 <= ran[-1][0] - ran[0][0] <= 10
    assert run.fetch().entities_per_second == 50


def test_a_step_that_would_wait_long_is_put_off(box, declare, ran):
    box.queries.add("Order", *range(3))
    run = declare(entities_per_second=0.1).start(QUERY)
    began = box.clock.now()

    box.drain()

    (queued,) = box.queue.tasks.values()
    assert queued.task.eta == began + 10 * SECOND
    assert run.fetch().done == 1
    assert run.fetch().stalled_since is None
    go_on(box)
    assert [at for at, _ in ran] == [0, 10, 20]


def test_a_step_waits_until_its_time_is_up_but_no_longer(box, declare, ran):
    box.queries.add("Order", *range(5))
    let_time_pass(box)
    declare(entities_per_second=0.4, step_seconds=4).start(QUERY)

    box.deliver(box.queue.due()[0])

    assert [at for at, _ in ran] == [0, 2.5]
    assert box.clock.monotonic() == 2.5
    (queued,) = box.queue.tasks.values()
    assert queued.task.eta - box.clock.now() == 2.5 * SECOND
    go_on(box)
    assert [at for at, _ in ran] == [0, 2.5, 5, 7.5, 10]


def test_a_run_is_paused_while_a_step_waits(app, box, declare, ran):
    """It does not wait to the end, and handles nothing more."""
    box.queries.add("Order", *range(10))
    seen = []

    def wait(event, seconds):
        run.pause()
        box.clock.advance(SECOND)  # one heartbeat
        seen.append((event.is_set(), seconds))

    wiring = app.wiring()
    wiring._adapters = replace(wiring._adapters, wait=wait)
    run = declare(entities_per_second=0.25).start(QUERY)
    box.drain()

    assert seen == [(True, 4.0)]
    assert len(ran) == 1
    assert run.fetch().status is Status.PAUSED
    assert box.clock.monotonic() == 1


def test_waiting_ends_at_once_when_the_run_is_cancelled(app, box, declare):
    """The heartbeat comes in a thread of its own, as it does outside of a sandbox."""
    box.queries.add("Order", *range(10))
    ended = []

    def cancel():
        run.cancel()
        box.clock.advance(SECOND)  # a heartbeat

    def wait(event, _seconds):
        threading.Thread(target=cancel).start()
        ended.append(event.wait(60))

    wiring = app.wiring()
    wiring._adapters = replace(wiring._adapters, wait=wait)
    run = declare(entities_per_second=0.25).start(QUERY)
    box.drain()

    assert ended == [True]
    assert run.fetch().status is Status.CANCELLED


def test_bulk_iterations_keep_to_it_too(app, box):
    box.queries.add("Order", *range(100))
    run = app.query_iter(
        type("Forget", (DeleteEntitiesIter,), {"__module__": __name__, "entities_per_second": 10})
    ).start(QUERY)

    left = []
    for _ in range(10):
        box.drain()
        left.append(len(box.queries.entries("Order")))
        box.clock.advance(SECOND)
    box.drain()

    assert left == list(range(90, -1, -10))
    assert run.fetch().status is Status.FINISHED


# Changing it


def test_the_pace_of_a_run_that_is_put_off_can_be_changed(box, declare, ran):
    box.queries.add("Order", *range(200))
    run = declare(entities_per_second=0.001).start(QUERY)
    box.drain()
    assert len(ran) == 1

    assert run.pace(None)
    box.drain()

    assert len(ran) == 200
    assert run.fetch().status is Status.FINISHED
    assert not run.pace(5)


def test_the_pace_changes_within_a_step(box, declare, ran):
    box.queries.add("Order", *range(200))
    let_time_pass(box)

    def handle_entry(_self, entry, _data):
        ran.append((box.clock.monotonic(), entry))
        if entry == 20:
            run.pace(5)
            box.clock.advance(SECOND)  # a heartbeat
        elif entry == 30:
            run.pace(None)

    run = declare(handle_entry=handle_entry, step_seconds=300).start(QUERY)
    box.deliver(box.queue.due()[0])

    times = [at for at, _ in ran]
    assert times[20] == 0
    assert 1.8 <= times[30] - times[21] <= 2.2
    assert times[199] - times[31] <= 1.5
    go_on(box)
    assert run.fetch().done == 200


def test_a_run_is_slowed_down_in_the_midst_of_large_batches(box, declare, ran):
    box.queries.add("Order", *range(60))
    let_time_pass(box)

    def slow(self, entries, custom_data):
        handle_batch(self, entries, custom_data)
        if len(ran) == 20:
            run.pace(2)
            box.clock.advance(SECOND)

    members = {"handle_batch": slow, "handle_entry": QueryIter.handle_entry}
    run = declare(**members, step_seconds=300).start(QUERY)
    go_on(box)

    times = [at for at, _ in ran]
    assert times[19] == 0
    assert all(b - a >= 1 for a, b in itertools.pairwise(times[20::2]))


def test_a_paused_run_keeps_its_new_pace(box, declare, ran):
    box.queries.add("Order", *range(10))
    run = declare().start(QUERY)
    run.pause()
    box.drain()

    assert run.pace(0.2)
    assert run.fetch().status is Status.PAUSED
    run.resume()
    box.drain()

    assert len(ran) == 1


def test_a_pace_survives_what_failed(box, declare, ran):
    """Entities that failed are handled again at that pace, by a run of their own, too."""
    box.queries.add("Order", *range(6))
    run = declare(broken={1, 3, 5}, max_entry_retries=0, entities_per_second=2).start(QUERY)
    go_on(box)
    ran.clear()

    again = run.rerun_failed()
    go_on(box)

    assert again.fetch().entities_per_second == 2
    assert fastest([at for at, _ in ran], 2) <= 3


@pytest.mark.parametrize("pace", [0, -1, "50", True, float("nan"), float("inf"), 2_000_000])
def test_a_wrong_pace_is_refused(app, declare, pace):
    walk = declare()
    with pytest.raises(DeclarationError, match="must be a number from 0"):
        walk.start(QUERY, entities_per_second=pace)
    with pytest.raises(DeclarationError, match=r"^Odd\.entities_per_second="):
        app.query_iter(type("Odd", (Walk,), {"entities_per_second": pace}))
    run = walk.start(QUERY)
    with pytest.raises(DeclarationError, match="entities_per_second="):
        run.pace(pace)


def test_an_old_shard_has_no_pace(box, declare):
    """A run that an older revision has stored goes on as fast as it can."""
    box.queries.add("Order", *range(10))
    run = declare().start(QUERY)
    key = shard_key(run.id, 0)
    record = dict(box.store.get([key])[0])
    del record["paced_until"]
    box.store.put(key, record)

    box.drain()

    assert run.fetch().done == 10
