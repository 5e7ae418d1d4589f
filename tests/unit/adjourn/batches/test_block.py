"""The block of a batch: what it adds, what ends it, and what is left when it breaks off."""

import asyncio

import pytest

import adjourn
from adjourn import BatchSealedError, DeclarationError, EncodeError, QueueNotFoundError
from adjourn.testing import inline


def test_the_end_is_told_once_after_the_last_child(shop, box):
    with shop.batch(name="import-7") as batch:
        batch.add(shop.work, 1)
        batch.map(shop.work, [2, 3])
        box.drain()
        assert shop.ran == []  # children of a small batch are enqueued together
    box.drain()

    assert sorted(shop.ran) == [1, 2, 3]
    (summary,) = shop.done
    assert summary["name"] == "import-7"
    assert summary["id"] == batch.id
    assert summary["status"] == "done"
    assert (summary["total"], summary["done"], summary["failed"]) == (3, 3, 0)
    assert summary["created_at"] <= summary["sealed_at"] <= summary["ended_at"]
    assert shop.failed == []


def test_it_does_not_end_before_its_block(shop, box):
    with shop.batch() as batch:
        batch.add(shop.work, 1)
        batch.flush()
        box.drain()
        assert shop.ran == [1]
        assert shop.done == []
    box.drain()
    assert len(shop.done) == 1


def test_it_does_not_end_before_a_child_that_is_retried(shop, box, pass_time):
    attempts = []

    @shop.app.deferred(name="flaky")
    def flaky():
        attempts.append(1)
        if len(attempts) < 3:
            raise RuntimeError("not yet")

    with shop.batch() as batch:
        batch.add(flaky)
        batch.add(shop.work, 1)
    box.drain()
    assert shop.done == []
    pass_time(300)
    assert len(attempts) == 3
    assert shop.counts() == (2, 0, 0)


def test_an_empty_batch_ends_at_once(shop, box):
    with shop.batch():
        pass
    box.drain()

    assert shop.done[0]["total"] == 0


def test_a_large_batch_costs_little_more_than_one_write_for_a_child(shop, box, commits):
    with shop.batch() as batch:
        batch.map(shop.work, range(1_500))
    box.drain(limit=10_000)

    assert shop.counts() == (1_500, 0, 0)
    assert sorted(shop.ran) == list(range(1_500))
    assert sum(commits) <= 1.1 * 1_500


def test_the_batch_itself_is_written_rarely(shop, box):
    written, commit = [], box.store.commit

    def noted(changes):
        written.extend(key for key in changes if key.kind == "AdjournBatch")
        commit(changes)

    box.store.commit = noted
    with shop.batch() as batch:
        batch.map(shop.work, range(1_100))
    box.drain(limit=10_000)

    assert shop.counts() == (1_100, 0, 0)
    assert len(written) <= 6


def test_no_child_is_enqueued_before_it_is_registered(shop, box):
    box.store.commit = lambda _changes: 1 / 0
    with pytest.raises(ZeroDivisionError), shop.batch() as batch:
        batch.add(shop.work, 1)
    assert box.enqueued() == []


# Blocks that break off, and are run again


def import_all(shop, numbers, name="import", fail_at=None):
    with shop.batch(name=name) as batch:
        for number in numbers:
            if number == fail_at:
                raise RuntimeError("the block breaks off")
            batch.add(shop.work, number)
            batch.flush()


def test_a_block_that_breaks_off_leaves_the_batch_open(shop, box):
    with pytest.raises(RuntimeError):
        import_all(shop, range(5), fail_at=3)
    box.drain()

    assert sorted(shop.ran) == [0, 1, 2]
    assert shop.done == []
    assert shop.app.batches().get("import").fetch()["status"] == "open"


@pytest.mark.parametrize("order", [range(5), [4, 3, 2, 1, 0]])
def test_a_block_that_is_run_again_adds_what_is_missing(shop, box, order):
    with pytest.raises(RuntimeError):
        import_all(shop, range(5), fail_at=3)
    box.drain()
    import_all(shop, order)
    box.drain()

    assert sorted(shop.ran) == [0, 1, 2, 3, 4]
    assert shop.counts() == (5, 0, 0)


def test_a_block_that_is_run_again_after_its_end_changes_nothing(shop, box):
    for _ in range(3):
        import_all(shop, range(5))
        box.drain()

    assert sorted(shop.ran) == [0, 1, 2, 3, 4]
    assert shop.counts() == (5, 0, 0)


def test_equal_calls_are_told_apart_by_their_number(shop, box):
    for _ in range(2):
        import_all(shop, [7, 7, 7])
    box.drain()

    assert shop.ran == [7, 7, 7]
    assert shop.counts() == (3, 0, 0)


def test_a_name_tells_children_apart(shop, box):
    for number in (1, 2):
        with shop.batch(name="import") as batch:
            batch.add(shop.work.options(call_name="first"), number)
    box.drain()

    assert shop.ran == [1]
    assert shop.counts() == (1, 0, 0)


def test_of_calls_with_one_name_the_first_is_a_child(shop, box):
    with shop.batch() as batch:
        for number in (1, 2):
            batch.add(shop.work.options(call_name="first"), number)
    box.drain()

    assert shop.ran == [1]
    assert shop.counts() == (1, 0, 0)


def test_a_name_is_that_of_a_task_or_of_a_nested_batch(shop, box):
    @shop.app.deferred(name="other")
    def other(number):
        shop.ran.append(-number)

    with shop.batch() as batch:
        for task in (shop.work, other):
            batch.add(task.options(call_name="first"), 1)
        for _ in range(2):
            with batch.batch(name="first") as inner:
                inner.add(shop.work, 2)
    box.drain()

    assert sorted(shop.ran) == [-1, 1, 2]
    assert shop.counts() == (3, 0, 0)


def test_each_item_of_a_map_has_a_name_of_its_own(shop, box):
    for _ in range(2):
        with shop.batch(name="import") as batch:
            batch.map(shop.work.options(call_name="all"), [7, 7, 8])
    box.drain()

    assert sorted(shop.ran) == [7, 7, 8]
    assert shop.counts() == (3, 0, 0)


def test_equal_children_may_be_added_at_the_same_time(shop, box):
    async def make():
        async with shop.batch() as batch:
            await asyncio.gather(*(batch.aadd(shop.work, 7) for _ in range(30)))

    asyncio.run(make())
    box.drain()

    assert shop.ran == [7] * 30
    assert shop.counts() == (30, 0, 0)


def test_a_sealed_batch_takes_no_other_children(shop, box):
    import_all(shop, [1])
    with pytest.raises(BatchSealedError, match="import is sealed"):
        import_all(shop, [1, 2])
    box.drain()

    assert shop.ran == [1]


def test_children_that_were_not_accepted_are_enqueued_when_the_block_is_run_again(shop, box):
    real = box.queue.enqueue_many

    def refuse(tasks):
        replies = real([each for each in tasks if each.queue != "mail"])
        return [QueueNotFoundError("none"), *replies]

    box.queue.enqueue_many = refuse
    for is_refused in (True, False):
        try:
            with shop.batch(name="import") as batch:
                batch.add(shop.work.options(queue="mail"), 1)
                batch.add(shop.work, 2)
        except QueueNotFoundError:
            assert is_refused
            box.queue.enqueue_many = real
        box.drain()
        assert len(shop.done) == (not is_refused)

    assert sorted(shop.ran) == [1, 2]
    assert shop.counts() == (2, 0, 0)


def test_two_blocks_of_one_name_at_the_same_time_register_no_child_twice(shop, box):
    with shop.batch(name="import") as first, shop.batch(name="import") as second:
        first.map(shop.work, range(40))
        second.map(shop.work, reversed(range(50)))
        second.flush()
        first.flush()
        assert first.id == second.id
        second.add(shop.work, 99)
        first.add(shop.work, 98)
        first.flush()
        second.flush()
    box.drain()

    assert sorted(shop.ran) == [*range(50), 98, 99]
    assert shop.counts() == (52, 0, 0)


def test_a_batch_all_of_whose_children_have_ended_ends_although_its_process_dies(shop, box):
    """Sealing it is the last thing that the process does."""
    finish = shop.app.wiring().batch_ends.finish
    ends = shop.app.wiring().batch_ends
    ends.finish = lambda _record: 1 / 0
    batch = shop.batch().__enter__()
    batch.add(shop.work, 1)
    batch.flush()
    box.drain()
    with pytest.raises(ZeroDivisionError):
        batch.__exit__(None, None, None)
    ends.finish = finish
    assert shop.done == []

    box.travel(by=10)
    box.drain()

    assert shop.counts() == (1, 0, 0)


# Nested batches


def test_a_nested_batch_is_one_child(shop, box):
    with shop.batch(name="outer") as outer:
        outer.add(shop.work, 1)
        with outer.batch(name="inner", on_done=shop.on_done) as inner:
            inner.map(shop.work, [2, 3, 4])
    box.drain()

    inside, outside = sorted(shop.done, key=lambda summary: summary["name"])
    assert (inside["name"], inside["total"], inside["done"]) == ("inner", 3, 3)
    assert (outside["name"], outside["total"], outside["done"]) == ("outer", 2, 2)
    assert inside["ended_at"] <= outside["ended_at"]


def test_the_outer_batch_waits_for_the_nested_one(shop, box):
    with shop.batch(name="outer") as outer, outer.batch() as inner:
        inner.add(shop.work.options(delay=100), 1)
    box.drain()
    assert shop.done == []

    box.travel(by=100)
    box.drain()
    assert shop.counts() == (1, 0, 0)


def test_nested_batches_of_a_block_that_is_run_again_are_the_same(shop, box):
    def make():
        outer = shop.batch(name="outer").__enter__()
        for number in range(3):
            with outer.batch() as inner:
                inner.map(shop.work, [number, number + 10])
        outer.flush()
        return outer

    make()  # and break off
    box.drain()
    assert shop.done == []
    make().__exit__(None, None, None)
    box.drain()

    assert sorted(shop.ran) == [0, 1, 2, 10, 11, 12]
    assert shop.counts() == (3, 0, 0)


def test_a_nested_batch_with_a_failure_has_failed(shop, box):
    shop.broken = {2}
    with shop.batch(name="outer") as outer:
        outer.add(shop.work, 1)
        with outer.batch() as inner:
            inner.map(shop.work, [2, 3])
    box.drain()

    assert shop.counts() == (1, 1, 0)
    assert shop.failed[0]["name"] == "outer"


# Iterations


def test_a_run_counts_until_it_has_ended(shop, box):
    handled = []

    @shop.app.query_iter(name="walk")
    class Walk(adjourn.QueryIter):
        def handle_entry(self, entry, custom_data):
            handled.append((entry, custom_data))

    with shop.batch() as batch:
        batch.add(Walk, adjourn.RowList([{"n": 1}, {"n": 2}]), {"factor": 2})
        batch.add(shop.work, 1)
    box.drain()

    assert len(handled) == 2
    assert shop.counts() == (2, 0, 0)


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_done": len}, "must be a task"),
        ({"policy": "stop"}, '"continue" or "cancel"'),
        ({"name": "x" * 501}, "1 to 500 characters"),
        ({"name": "\ud800"}, "characters of Unicode"),
    ],
)
def test_wrong_options_are_refused(app, box, options, message):  # noqa: ARG001 - it is active
    with pytest.raises(DeclarationError, match=message):
        app.batch(**options)


def test_an_end_that_takes_no_summary_is_refused(app, box):  # noqa: ARG001 - it is active
    @app.deferred(name="bare")
    def bare():
        pass

    with pytest.raises(DeclarationError, match="summary alone"):
        app.batch(on_done=bare)


def test_an_end_with_a_start_of_its_own_is_refused(shop):
    with pytest.raises(DeclarationError, match="leave delay out"):
        shop.app.batch(on_done=shop.on_done.options(delay=5))


def test_what_cannot_be_a_child_is_refused(shop, box):
    @shop.app.deferred(name="settled", debounce=5)
    def settled():
        pass

    with shop.batch() as batch:
        with pytest.raises(DeclarationError, match="debounced"):
            batch.add(settled)
        with pytest.raises(DeclarationError, match="in no transaction"):
            batch.add(shop.work.options(transaction=object()), 1)
        with pytest.raises(DeclarationError, match="no child of a batch"):
            batch.add(len, [])
        with pytest.raises(EncodeError, match="work"):
            batch.add(shop.work, 1, 2)
        with pytest.raises(EncodeError):
            batch.add(shop.work, object())
        with pytest.raises(EncodeError):
            batch.add(shop.work.options(call_name="first"), object())
        batch.add(shop.work, 1)
    box.drain()
    assert shop.counts() == (1, 0, 0)


def test_children_are_added_inside_of_the_block(shop):
    with pytest.raises(DeclarationError, match=r"with app\.batch"):
        shop.batch().add(shop.work, 1)


def test_a_batch_depends_on_no_transaction(shop, box):
    with box.transactions.begin(), pytest.raises(DeclarationError, match="transaction"):
        shop.batch().__enter__()


# Async


def test_a_block_may_be_async(shop, box):
    async def make():
        async with shop.batch() as batch:
            await batch.aadd(shop.work, 1)
            await batch.amap(shop.work, [2, 3])

    asyncio.run(make())
    box.drain()

    assert shop.counts() == (3, 0, 0)


def test_in_an_inline_sandbox_children_run_when_the_block_ends(app):
    ran = []

    @app.deferred(name="work")
    def work(number: int) -> None:
        ran.append(number)
        if number == 1:
            adjourn.current_batch().add(work, 2)

    @app.deferred(name="done")
    def done(summary: dict) -> None:
        ran.append(summary["total"])

    with inline(app), app.batch(on_done=done) as batch:
        batch.add(work, 1)
        assert ran == []
    assert ran == [1, 2, 2]
