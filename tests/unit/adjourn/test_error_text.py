"""Whatever the application raises is one failure, with a record, and takes no process along."""

import asyncio
import logging

import pytest
from google.cloud.datastore import Entity, Key
from google.cloud.datastore.helpers import entity_to_protobuf

from adjourn import CallableTask, PermanentTaskFailure, QueryIter, RetryLater, Snooze, Status
from adjourn.error_text import error_line, traceback_text
from adjourn.execution.dead_letters import KIND
from adjourn.execution.delivery import Outcome
from adjourn.iteration.shards import shard_key
from adjourn.requests.gate import with_outcome
from adjourn.serialization.payload_reference import MAX_BODY
from adjourn.testing import MemoryQuery

LARGEST_ENTITY = 1_048_572


class MuteError(Exception):
    def __str__(self):
        raise ValueError("no text")


LEAVING = [asyncio.CancelledError("gone"), GeneratorExit(), SystemExit(3)]
UNTELLABLE = [MuteError(), RuntimeError("no such file: \udcff"), RuntimeError("ä" * 90_000)]


def letters(box):
    return [(key, record) for key, (_, record) in box.store.records.items() if key.kind == KIND]


def size(key, record, *unindexed):
    """Return the size of an entity, which cannot be told if Datastore would not take it."""
    entity = Entity(Key(key.kind, key.name, project="p"), exclude_from_indexes=unindexed)
    entity.update(record)
    return entity_to_protobuf(entity)._pb.ByteSize()


# Tasks


@pytest.mark.parametrize("error", LEAVING)
def test_a_task_that_would_end_its_process_has_failed(app, box, error):
    @app.deferred(name="leave", max_retries=1, once=True)
    def leave():
        raise error

    leave()

    assert box.drain() == [Outcome.FAILED]
    assert box.drain() == [Outcome.DEAD]
    assert [record["attempts"] for _, record in letters(box)] == [2]


@pytest.mark.parametrize("error", UNTELLABLE)
def test_what_cannot_be_told_is_a_dead_letter_that_datastore_takes(app, box, error):
    @app.deferred(name="tell", max_retries=0)
    def tell():
        raise error

    tell()

    assert box.drain() == [Outcome.DEAD]
    ((key, record),) = letters(box)
    assert record["error"].startswith(type(error).__name__)
    assert size(key, record, "body", "error", "traceback") < LARGEST_ENTITY


def test_the_largest_call_with_the_longest_traceback_fits_into_a_dead_letter(app, box):
    receive = app.wiring().receive_task

    for body in (b"?" * MAX_BODY, b"?" * 1_048_000):
        delivery = box.delivery("https://deferred.example", body)
        assert receive(delivery) is Outcome.DEAD

    for key, record in letters(box):
        longest = {
            **record,
            "traceback": traceback_text(RuntimeError("\U0001f600" * 90_000), 20_000),
        }
        assert size(key, longest, "body", "error", "traceback") < LARGEST_ENTITY


def test_a_body_that_is_too_long_for_a_dead_letter_is_kept_compressed(app, box):
    receive = app.wiring().receive_task
    body = b"[" + b"1," * 520_000 + b"1"

    assert receive(box.delivery("https://deferred.example", body)) is Outcome.DEAD

    ((_, record),) = letters(box)
    assert 0 < len(record["body"]) < MAX_BODY


def test_text_is_cut_between_characters():
    assert error_line(RuntimeError("ää"), 16) == "RuntimeError: ä"
    assert traceback_text(RuntimeError("ää"), 4) == "ä\n"


@pytest.mark.parametrize("error", LEAVING)
def test_a_hook_that_would_end_the_process_undoes_nothing(app, box, error, caplog):
    @app.deferred(name="fail")
    def fail():
        raise PermanentTaskFailure("broken")

    @app.on_dead
    def leave(_letter):
        raise error

    fail()

    assert box.drain() == [Outcome.DEAD]
    assert "leave" in caplog.text


def test_an_interrupted_test_stays_interrupted(app, box):
    @app.deferred(name="stop")
    def stop():
        raise KeyboardInterrupt

    stop()

    with pytest.raises(KeyboardInterrupt):
        box.drain()


# Steering


@pytest.mark.parametrize("kind", [Snooze, RetryLater])
def test_a_wait_beyond_the_calendar_is_refused_where_it_is_asked_for(kind):
    with pytest.raises(ValueError, match="a hundred years"):
        kind(3600 * 24 * 365 * 200)


def test_a_coroutine_that_a_decorator_has_hidden_runs_too(app, box, ran):
    async def later():
        ran.append(1)

    @app.deferred(name="hidden")
    def hidden():
        return later()

    hidden()

    assert box.drain() == [Outcome.DONE]
    assert ran == [1]


# Iterations


@pytest.mark.parametrize("error", LEAVING)
@pytest.mark.parametrize("hook", ["handle_entry", "handle_finish"])
def test_a_hook_of_an_iteration_that_would_end_the_process_has_failed(app, box, error, hook):
    left = [error]

    class Walk(QueryIter):
        def handle_entry(self, entry, custom_data):  # noqa: ARG002
            if hook == "handle_entry" and left:
                raise left.pop()

        def handle_finish(self, total_count, custom_data):  # noqa: ARG002
            if hook == "handle_finish" and left:
                raise left.pop()

    Walk.__qualname__ = "Walk"
    box.queries.add("Order", 1, 2)
    run = app.query_iter(Walk).start(MemoryQuery("Order"))

    for _ in range(5):
        box.drain()
        box.clock.advance(RetryLater(60).after)

    assert (run.fetch().status, run.fetch().done) == (Status.FINISHED, 2)


@pytest.mark.parametrize("error", UNTELLABLE)
def test_an_error_of_an_entity_that_cannot_be_told_is_kept_as_datastore_takes_it(app, box, error):
    class Walk(QueryIter):
        max_entry_retries = 0

        def handle_entry(self, entry, custom_data):  # noqa: ARG002
            raise error

    Walk.__qualname__ = "Walk"
    box.queries.add("Order", 1)
    run = app.query_iter(Walk).start(MemoryQuery("Order"))

    box.drain()

    assert (run.fetch().status, run.fetch().errors) == (Status.FINISHED, 1)
    key = shard_key(run.id, 0)
    (record,) = box.store.get([key])
    assert size(key, record) < 10_000


# People


@pytest.mark.parametrize("error", LEAVING)
def test_a_verdict_that_would_end_the_process_is_a_no(app, box, error, caplog):
    @app.callable_task
    class Leave(CallableTask):
        def can_call(self, user):  # noqa: ARG002
            raise error

        def execute(self):
            pass

    caplog.set_level(logging.ERROR)

    assert box.ask("ann@shop.example", "Leave").status == 403
    assert "counts as no" in caplog.text


def test_what_leaves_a_handler_is_our_own_trouble_and_takes_no_process_along(lines):
    def leave():
        raise SystemExit(1)

    assert with_outcome(leave) is Outcome.TROUBLE
    assert [line["event"] for line in lines()] == ["adjourn.fault"]
