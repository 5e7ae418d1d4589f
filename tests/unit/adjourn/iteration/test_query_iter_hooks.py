"""Entities that fail are tried again later, hold nobody up, and are counted exactly."""

import datetime as dt

import pytest

from adjourn import OnError, QueryIter, RunError, Status
from adjourn.iteration.shards import retry_delay
from adjourn.iteration.walk import MOST_RETRIES
from adjourn.testing import MemoryQuery

QUERY = MemoryQuery("Order")
SECOND = dt.timedelta(seconds=1)


class Script:
    def __init__(self):
        self.seen, self.asked, self.finished = [], [], []
        self.fails = lambda _entry: False
        self.answer = lambda _entry: True


@pytest.fixture
def script():
    return Script()


@pytest.fixture
def declare(app, script):
    def declared(**members):
        class Walk(QueryIter):
            max_entry_retries = 2
            step_seconds = 20
            batch_size = 4

            def handle_entry(self, entry, custom_data):  # noqa: ARG002
                script.seen.append(entry)
                if script.fails(entry):
                    raise RuntimeError(f"broken {entry}")

            def handle_error(self, entry, custom_data, exception):  # noqa: ARG002
                script.asked.append((entry, str(exception)))
                return script.answer(entry)

            def handle_finish(self, total_count, custom_data):  # noqa: ARG002
                script.finished.append(total_count)

        Walk.__qualname__ = "Walk"
        for name, value in members.items():
            if value is None:
                delattr(Walk, name)
            else:
                setattr(Walk, name, value)
        return app.query_iter(Walk)

    return declared


@pytest.fixture
def walk(box, declare):
    box.queries.add("Order", *range(10))
    return declare()


def drain(box):
    """Deliver everything, waiting for what is put off."""
    while box.queue.tasks:
        box.drain()
        box.clock.advance(dt.timedelta(seconds=1))


def test_an_entity_that_fails_is_not_tried_again_at_once(box, walk, script, lines):
    script.fails = lambda entry: entry == 3
    run = walk.start(QUERY)

    box.drain()

    assert script.seen == list(range(10))
    state = run.fetch()
    assert (state.status, state.done, state.waiting, state.errors) == (Status.RUNNING, 9, 1, 0)
    assert not script.asked
    (queued,) = box.queue.tasks.values()
    assert queued.due == box.clock.now() + retry_delay(1)
    assert "iteration.retry" in [line["event"] for line in lines()]


def test_one_that_succeeds_later_is_no_error(box, walk, script):
    script.fails = lambda entry: entry == 3 and script.seen.count(3) == 1
    run = walk.start(QUERY)

    drain(box)

    assert script.seen == [*range(10), 3]
    assert (run.fetch().done, run.fetch().errors, run.fetch().waiting) == (10, 0, 0)
    assert script.finished == [10]


def test_one_that_keeps_failing_is_given_up_and_kept_with_its_key(box, walk, script):
    script.fails = lambda entry: entry in {3, 5}
    run = walk.start(QUERY)

    drain(box)

    assert script.seen.count(3) == script.seen.count(5) == 3
    assert sorted(script.asked) == [(3, "broken 3"), (5, "broken 5")]
    state = run.fetch()
    assert (state.status, state.done, state.errors) == (Status.FINISHED, 10, 2)
    assert set(state.failures) == {
        RunError("4", "RuntimeError: broken 3"),
        RunError("6", "RuntimeError: broken 5"),
    }
    assert script.finished == [10]


def test_the_waits_grow():
    assert [retry_delay(n) / SECOND for n in (1, 2, 3, 6, 7, 50)] == [5, 10, 20, 160, 300, 300]


def test_one_that_is_gone_by_then_is_done_with(box, walk, script):
    script.fails = lambda entry: entry == 3
    run = walk.start(QUERY)
    box.drain()
    box.queries.remove("Order", 3)

    drain(box)

    assert script.seen == list(range(10))
    assert (run.fetch().done, run.fetch().errors) == (10, 0)


def test_another_round_can_be_asked_for(box, walk, script):
    script.fails = lambda entry: entry == 3 and script.seen.count(3) <= 5
    script.answer = lambda _: walk.RETRY
    run = walk.start(QUERY)

    drain(box)

    assert script.seen.count(3) == 6
    assert len(script.asked) == 1
    assert (run.fetch().done, run.fetch().errors) == (10, 0)


@pytest.mark.parametrize("answer", [False, OnError.STOP, None])
def test_a_run_that_is_stopped_goes_on_at_the_entity_that_stopped_it(box, walk, script, answer):
    script.fails = lambda entry: entry == 3
    script.answer = lambda _: answer
    run = walk.start(QUERY)
    drain(box)
    state = run.fetch()
    assert (state.status, state.done, state.waiting) == (Status.STOPPED, 9, 1)
    assert state.last_error == "RuntimeError: broken 3 (at 4)"
    script.fails = lambda _: False

    assert run.retry()
    drain(box)

    assert script.seen.count(3) == 4
    assert (run.fetch().status, run.fetch().done, run.fetch().errors) == (Status.FINISHED, 10, 0)


def test_without_retries_a_stopped_run_has_not_passed_the_entity(box, declare, script):
    box.queries.add("Order", *range(10))
    script.fails, script.answer = (lambda entry: entry == 3), (lambda _: False)
    run = declare(max_entry_retries=0).start(QUERY)
    drain(box)
    assert script.seen == [0, 1, 2, 3]
    script.fails = lambda _: False

    run.retry()
    drain(box)

    assert script.seen == [0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9]
    assert run.fetch().done == 10


def test_a_shard_whose_list_is_full_reads_no_further_until_there_is_room(box, declare, script):
    box.queries.add("Order", *range(MOST_RETRIES + 50))
    script.fails = lambda _: box.clock.now() < start + dt.timedelta(seconds=4)
    start = box.clock.now()
    run = declare(batch_size=30).start(QUERY)

    box.drain()

    assert len(script.seen) == MOST_RETRIES
    assert run.fetch().waiting == MOST_RETRIES
    drain(box)
    assert run.fetch().done == MOST_RETRIES + 50
    assert run.fetch().errors == 0


def test_entities_that_wait_count_towards_a_limit(box, walk, script):
    script.fails = lambda entry: entry in {0, 1} and script.seen.count(entry) == 1
    run = walk.start(QUERY, limit=6)

    drain(box)

    assert set(script.seen) == set(range(6))
    assert run.fetch().done == 6


def test_no_more_than_the_first_errors_are_kept(box, declare, script):
    box.queries.add("Order", *range(50))
    script.fails = lambda _: True
    run = declare(max_entry_retries=0).start(QUERY)

    drain(box)

    assert run.fetch().errors == 50
    assert [each.message for each in run.fetch().failures] == [
        f"RuntimeError: broken {n}" for n in range(20)
    ]


# Batches


@pytest.fixture
def batches(declare, script, box):
    box.queries.add("Order", *range(10))

    def handle_batch(_self, entries, custom_data):  # noqa: ARG001
        script.seen.append(list(entries))
        if any(script.fails(entry) for entry in entries):
            raise RuntimeError(f"broken {entries[0]}")

    return declare(handle_entry=None, handle_batch=handle_batch)


def test_a_batch_is_handled_as_a_whole(box, batches, script):
    run = batches.start(QUERY)

    box.drain()

    assert script.seen == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert (run.fetch().done, script.finished) == (10, [10])


def test_the_entity_that_makes_a_batch_fail_is_found(box, batches, script):
    script.fails = lambda entry: entry == 5
    run = batches.start(QUERY)

    drain(box)

    assert script.seen == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        *([[n] for n in (4, 5, 6, 7)]),
        [8, 9],
        [5],
        [5],
    ]
    assert script.asked == [(5, "broken 5")]
    assert (run.fetch().done, run.fetch().errors) == (10, 1)


@pytest.fixture
def choosy(declare, script, box):
    """Batches that say which of their entities failed."""
    box.queries.add("Order", *range(10))

    def handle_batch(_self, entries, custom_data):  # noqa: ARG001
        script.seen.append(list(entries))
        return [RuntimeError(f"broken {e}") if script.fails(e) else None for e in entries]

    return declare(handle_entry=None, handle_batch=handle_batch)


def test_of_a_batch_only_what_it_says_has_failed_comes_again(box, choosy, script):
    script.fails = lambda entry: entry == 3 or (entry == 5 and len(script.seen) < 5)
    run = choosy.start(QUERY)

    box.drain()
    assert script.seen == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert (run.fetch().done, run.fetch().waiting) == (8, 2)
    drain(box)

    assert script.seen[3:] == [[3], [5], [3]]
    assert script.asked == [(3, "broken 3")]
    state = run.fetch()
    assert (state.status, state.done, state.errors) == (Status.FINISHED, 10, 1)


def test_a_run_that_stops_within_a_batch_goes_on_with_what_failed_there(box, choosy, script):
    script.fails = lambda entry: entry in {1, 2}
    script.answer = lambda _: OnError.STOP
    choosy.max_entry_retries = 0
    run = choosy.start(QUERY)

    box.drain()
    state = run.fetch()
    assert (state.status, state.done, state.waiting) == (Status.STOPPED, 2, 2)
    assert state.last_error == "RuntimeError: broken 2 (at 3)"

    script.fails = lambda _: False
    run.retry()
    drain(box)
    assert script.seen == [[0, 1, 2, 3], [1], [2], [4, 5, 6, 7], [8, 9]]
    assert (run.fetch().status, run.fetch().done) == (Status.FINISHED, 10)


@pytest.mark.parametrize("answer", [True, 3, "failed", [], [None], [None, 1, None, None]])
def test_a_batch_that_says_something_else_has_failed(box, declare, script, answer):
    box.queries.add("Order", *range(4))
    run = declare(handle_entry=None, handle_batch=lambda *_: answer).start(QUERY)

    drain(box)

    assert {message for _, message in script.asked} <= {
        "handle_batch must return None, or None or an exception for each of 1"
    }
    assert run.fetch().last_error.startswith("TypeError: handle_batch must return None, or None")


def test_either_entries_or_batches_are_handled(declare):
    with pytest.raises(ValueError, match="has handle_entry and handle_batch; leave one of them"):
        declare(handle_batch=lambda *_: None)


# Types of the user


def test_the_hooks_get_what_load_makes(box, declare, script):
    box.queries.add("Order", *range(4))
    script.fails = lambda entry: entry == "order 2"
    declare(load=lambda _self, entity: f"order {entity}", max_entry_retries=0).start(QUERY)

    drain(box)

    assert script.seen == ["order 0", "order 1", "order 2", "order 3"]
    assert script.asked == [("order 2", "broken order 2")]


def test_an_entity_that_cannot_be_loaded_has_failed(box, declare, script):
    def load(_self, entity):
        if entity == 2:
            raise ValueError("no order")
        return entity

    box.queries.add("Order", *range(4))
    run = declare(load=load, max_entry_retries=0).start(QUERY)

    drain(box)

    assert script.seen == [0, 1, 3]
    assert script.asked == [(2, "no order")]
    assert run.fetch().errors == 1
