"""Batches in operation: what is found, cancelled and retried."""

import pytest

from adjourn import CallFailedError, PermanentTaskFailure, UnknownNameError, current_batch
from adjourn.testing import SETTINGS, sandbox
from tests.place_seal import PlaceSeal


def make(shop, *numbers, **options):
    with shop.batch(**options) as batch:
        batch.map(shop.work, numbers)
    return batch


def test_batches_are_found_by_name_and_by_id(shop):
    batch = make(shop, 1, 2, name="import")
    batches = shop.app.batches()

    assert batches.get("import").id == batches.get(batch.id).id == batch.id
    with pytest.raises(UnknownNameError, match="no batch 'export'"):
        batches.get("export")


def test_the_latest_batches_are_found_first_with_their_progress(shop, box):
    make(shop, 1, 2, name="first")
    box.travel(by=1)
    make(shop, 3, 4, 5, name="second")
    box.deliver(next(iter(box.queue.tasks.values())))

    found = list(shop.app.batches().find())
    assert [(each["name"], each["total"], each["done"]) for each in found] == [
        ("second", 3, 0),
        ("first", 2, 1),
    ]
    assert [each["status"] for each in found] == ["running", "running"]


def test_children_are_told_by_their_state(shop, box):
    shop.broken = {2}
    make(shop, 1, 2, 3, name="import")
    box.drain()
    handle = shop.app.batches().get("import")

    (failed,) = handle.children("failed")
    assert (failed.kind, failed.id) == ("call", box.dead_letters()[0].task_id)
    assert sorted(each.state for each in handle.children()) == ["done", "done", "failed"]


def test_a_cancelled_batch_ends_when_its_children_have_come(shop, box):
    make(shop, 1, 2, name="import")
    handle = shop.app.batches().get("import")

    assert handle.cancel()
    assert handle.fetch()["status"] == "cancelling"
    box.drain()

    assert shop.ran == []
    assert shop.counts() == (0, 0, 2)
    assert handle.fetch()["status"] == "cancelled"
    assert not handle.cancel()


def test_a_batch_whose_block_broke_off_is_cancelled(shop, box):
    batch = shop.batch(name="import").__enter__()
    batch.add(shop.work, 1)
    batch.flush()
    box.drain()  # and the block breaks off
    assert shop.app.batches().get("import").cancel()
    box.drain()

    assert shop.counts() == (1, 0, 0)
    assert shop.done[0]["status"] == "cancelled"


def test_a_cancellation_whose_process_dies_is_completed(shop, box):
    batch = shop.batch(name="import").__enter__()
    batch.add(shop.work, 1)
    batch.flush()
    box.drain()  # and the block breaks off
    enqueue = box.queue.enqueue

    def dying(task):
        if task.label == "done":
            raise KeyboardInterrupt
        return enqueue(task)

    box.queue.enqueue = dying
    with pytest.raises(KeyboardInterrupt):
        shop.app.batches().get("import").cancel()
    box.queue.enqueue = enqueue
    assert shop.done == []
    box.travel(by=10)
    box.drain()

    assert len(shop.done) == 1


def test_a_child_of_a_cancelled_batch_that_failed_is_not_retried(shop, box):
    handle = []

    def fail():
        handle[0].cancel()
        raise RuntimeError("not yet")

    shop.within = {1: fail}
    make(shop, 1, name="import")
    handle.append(shop.app.batches().get("import"))
    box.drain()
    assert shop.done == []
    box.drain()

    assert shop.ran == [1]
    assert shop.counts() == (0, 0, 1)


def test_nested_batches_are_cancelled_too(shop, box):
    with shop.batch(name="outer") as outer:
        outer.add(shop.work, 1)
        with outer.batch() as inner:
            inner.map(shop.work, [2, 3])
    shop.app.batches().get("outer").cancel()
    box.drain()

    assert shop.ran == []
    assert shop.counts() == (0, 0, 2)


def test_a_nested_batch_that_is_cancelled_in_its_block_ends_in_the_outer_one(shop, box):
    with shop.batch() as batch:
        batch.add(shop.work, 1)
        with batch.batch() as inner:
            inner.add(shop.work, 2)
            inner.flush()
            shop.app.batches().get(inner.id).cancel()
    box.drain()

    assert shop.ran == [1]
    assert shop.counts() == (1, 0, 1)


def test_what_failed_is_retried_and_the_batch_ends_again(shop, box):
    shop.broken = {2, 3, 50}
    make(shop, *range(100), name="import")
    box.drain()
    handle = shop.app.batches().get("import")
    assert handle.fetch()["failed"] == 3
    shop.broken = {50}

    assert handle.retry() == 3
    assert handle.fetch()["status"] == "running"
    box.drain()

    assert [(each["done"], each["failed"]) for each in shop.done] == [(97, 3), (99, 1)]
    assert len(shop.ran) == 103
    assert len(shop.failed) == 2  # one of each round
    assert handle.fetch()["round"] == 1


def test_failed_children_of_nested_batches_are_retried(shop, box):
    shop.broken = {2}
    with shop.batch(name="outer") as outer:
        outer.add(shop.work, 1)
        with outer.batch() as inner:
            inner.map(shop.work, [2, 3])
    box.drain()
    shop.broken = set()
    assert shop.app.batches().get("outer").retry() == 1
    box.drain()

    assert [(each["done"], each["failed"]) for each in shop.done] == [(1, 1), (2, 0)]


def test_a_retry_that_breaks_off_is_repeated(shop, box):
    shop.broken = {1}
    make(shop, 1, name="import")
    box.drain()
    shop.broken = set()
    enqueue = box.queue.enqueue

    def away(_task):
        raise KeyboardInterrupt

    box.queue.enqueue = away
    handle = shop.app.batches().get("import")
    with pytest.raises(KeyboardInterrupt):
        handle.retry()
    box.queue.enqueue = enqueue
    box.drain()
    assert len(shop.done) == 1

    assert handle.retry() == 1
    box.drain()
    assert shop.done[1]["done"] == 1


def test_the_calls_of_the_ends_are_sealed_where_they_are_stored(app):
    told = []

    @app.deferred(name="work")
    def work():
        told.append("work")

    @app.deferred(name="done")
    def done(summary: dict):
        told.append(summary["done"])

    with sandbox(app, SETTINGS) as box:
        box.wiring.adapters.sealer = PlaceSeal()
        with app.batch(on_done=done) as batch:
            batch.add(work)
        stored = [each for _, each in box.store.records.values() if "on_done" in each]
        assert b"done" not in stored[0]["on_done"]
        for queued in list(box.queue.tasks.values()):
            seal(queued)
        box.deliver(next(iter(box.queue.tasks.values())))
        (end,) = box.queue.tasks.values()
        seal(end)
        box.deliver(end)

    assert told == ["work", 1]


def seal(queued):
    """Seal a task, as the queue of a deployment does."""
    body = PlaceSeal().seal(queued.task.body, queued.task.queue, queued.task.name)
    queued.task = queued.task._replace(body=body)


def test_calls_that_were_registered_and_never_enqueued_end_with_a_cancelled_batch(shop, box):
    many = box.queue.enqueue_many
    box.queue.enqueue_many = lambda _tasks: 1 / 0
    batch = shop.batch(name="import").__enter__()
    batch.add(shop.work, 1)
    with pytest.raises(ZeroDivisionError):
        batch.flush()
    box.queue.enqueue_many = many
    shop.app.batches().get("import").cancel()
    for _ in range(18):
        box.drain()
        assert shop.done == []
        box.travel(by=100)
    box.travel(by=60)
    box.drain()

    assert shop.counts() == (0, 0, 1)


def test_results_of_calls_come_as_they_were_added(shop, box):
    @shop.app.deferred(name="double", keep_result=600)
    def double(number: int) -> int:
        if number == 7:
            raise PermanentTaskFailure("seven")
        if number == 3:
            current_batch().add(double, 1_000)
        return 2 * number

    with shop.batch(name="import") as batch:
        batch.map(double, range(110))
        batch.add(shop.work, 1)  # keeps none
        batch.flush()
        batch.add(double, 110)
    handle = shop.app.batches().get("import")
    assert list(handle.results()) == [None] * 112
    box.drain(limit=10_000)

    results = list(handle.results())
    values = [each and each.value for each in results]
    expected = [2 * number for number in range(110)]
    assert values == [*expected[:7], None, *expected[8:], None, 220, 2_000]
    assert isinstance(results[7].error, CallFailedError)
