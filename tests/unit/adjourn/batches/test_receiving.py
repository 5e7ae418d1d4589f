"""Deliveries of children: whatever comes twice, late or not at all, each counts once."""

import contextlib
import dataclasses

import pytest

import adjourn
from adjourn import (
    ConflictError,
    DeclarationError,
    Discard,
    EncodeError,
    Flow,
    NoCurrentBatchError,
    PermanentTaskFailure,
    QueryIter,
    RetryLater,
    RowList,
    Snooze,
    StoreError,
    UnavailableError,
    current_batch,
)
from adjourn.batches.place import Place, State
from adjourn.batches.shards import KIND as SHARD_KIND
from adjourn.execution.attempt import Attempt
from adjourn.execution.delivery import Outcome
from adjourn.execution.replay import StoredDeadLetters
from adjourn.testing import SETTINGS, sandbox
from adjourn.testing.task_queue import Queued


def make(shop, *numbers, **options):
    """Make a batch of calls, and return its queued tasks."""
    with shop.batch(**options) as batch:
        batch.map(shop.work, numbers)
    return list(shop.box.queue.tasks.values())


def iteration(shop):
    """Return an iteration class that does nothing."""

    class Nothing(QueryIter):
        def handle_entry(self, entry, custom_data):
            pass

    return shop.app.query_iter(Nothing, name="nothing")


def kept(queued):
    """Return another delivery of a task."""
    return Queued(**{each.name: getattr(queued, each.name) for each in dataclasses.fields(queued)})


# Duplicates and lost answers


def test_a_duplicate_of_an_ended_child_does_not_run_and_counts_no_more(shop, box):
    first, second = make(shop, 1, 2)
    for _ in range(3):
        assert box.deliver(first) is Outcome.DONE
    assert shop.done == []
    box.deliver(second)
    for each in (first, second, first):
        box.deliver(each)
    box.drain()

    assert sorted(shop.ran) == [1, 2]
    assert shop.counts() == (2, 0, 0)


@pytest.mark.parametrize("is_applied", [False, True])
@pytest.mark.parametrize("failing", range(8))
def test_each_lost_commit_or_its_answer_is_made_up_for(shop, box, failing, is_applied):
    """Whichever commit fails, the delivery is not acknowledged, and the next one completes it."""
    make(shop, 1, 2)
    commit, count = box.store.commit, [0]

    def losing(changes):
        count[0] += 1
        if count[0] - 1 != failing:
            return commit(changes)
        if is_applied:
            commit(changes)
        raise StoreError("lost")

    box.store.commit = losing
    for _ in range(12):
        box.drain()
        box.travel(by=120)

    assert set(shop.ran) == {1, 2}
    assert shop.counts() == (2, 0, 0)


def test_an_end_that_cannot_be_marked_is_not_acknowledged(shop, box):
    (first,) = make(shop, 1)
    mark = shop.app.wiring().batch_ends._mark

    def away(_name, _endings):
        raise StoreError("away")

    ends = shop.app.wiring().batch_ends
    ends._mark = away
    assert box.deliver(first) is Outcome.TROUBLE
    ends.__dict__.pop("_combined", None)
    ends._mark = mark
    box.drain()

    assert set(shop.ran) == {1}
    assert shop.counts() == (1, 0, 0)


def test_an_end_that_was_marked_but_told_nobody_is_told_by_the_next_delivery(shop, box):
    (first,) = make(shop, 1)
    ends = shop.app.wiring().batch_ends
    rise, ends._rise = ends._rise, lambda _shard: 1 / 0
    assert box.deliver(first) is not Outcome.DONE
    ends._rise = rise
    box.drain()

    assert shop.ran == [1]  # not again
    assert shop.counts() == (1, 0, 0)


def test_the_call_of_the_end_is_enqueued_by_the_next_delivery(shop, box):
    (first,) = make(shop, 1)
    enqueue = box.queue.enqueue

    def away(_task):
        raise UnavailableError("away")

    box.queue.enqueue = away
    assert box.deliver(first) is Outcome.TROUBLE
    box.queue.enqueue = enqueue
    box.drain()

    assert shop.ran == [1]
    assert shop.counts() == (1, 0, 0)


def test_the_end_takes_effect_once_although_its_call_comes_twice(shop, box):
    make(shop, 1)
    box.deliver(next(iter(box.queue.tasks.values())))
    (end,) = box.queue.tasks.values()
    box.deliver(end)
    box.deliver(end)

    assert len(shop.done) == 1


def test_ends_that_lose_to_contention_are_tried_again(shop, box):
    (first,) = make(shop, 1)
    commit, left = box.store.commit, [3]

    def contended(changes):
        if left[0] and any(key.kind == SHARD_KIND for key in changes):
            left[0] -= 1
            raise ConflictError("contention")
        commit(changes)

    box.store.commit = contended
    assert box.deliver(first) is Outcome.DONE
    assert shop.ran == [1]


# Other ends than success


def test_a_child_that_is_given_up_counts_as_failed_and_is_told_once(shop, box):
    shop.broken = {2, 3}
    make(shop, 1, 2, 3)
    box.drain()

    assert shop.counts() == (1, 2, 0)
    assert shop.done[0]["status"] == "failed"
    assert len(shop.failed) == 1
    assert shop.failed[0]["failed"] >= 1


def test_a_child_whose_retries_are_used_up_counts_as_failed(shop, pass_time):
    @shop.app.deferred(name="bad", max_retries=2)
    def bad():
        raise RuntimeError("always")

    with shop.batch() as batch:
        batch.add(bad)
    pass_time(300)

    assert shop.counts() == (0, 1, 0)


def test_a_child_whose_process_dies_in_the_last_attempt_counts_as_failed(app):
    settings = dataclasses.replace(SETTINGS, max_attempts={"": 2})
    told = []

    @app.deferred(name="dying")
    def dying():
        raise KeyboardInterrupt  # as a process that is killed, it answers nothing

    @app.deferred(name="done")
    def done(summary: dict):
        told.append(summary)

    with sandbox(app, settings=settings) as box:
        with app.batch(on_done=done) as batch:
            batch.add(dying)
        (queued,) = box.queue.tasks.values()
        for number in range(2):
            queued.attempt = Attempt(retry_count=number)
            with pytest.raises(KeyboardInterrupt):
                box.deliver(queued)
        box.queue.settle(queued)  # Cloud Tasks gives it up
        for _ in range(60):
            box.travel(by=60)
            with contextlib.suppress(KeyboardInterrupt):
                box.drain()
        assert [(each["done"], each["failed"]) for each in told] == [(0, 1)]


def test_an_expired_child_counts_as_cancelled(shop, box):
    with shop.batch() as batch:
        batch.add(shop.work.options(expires=10), 1)
        batch.add(shop.work, 2)
    box.travel(by=11)
    box.drain()

    assert shop.ran == [2]
    assert shop.counts() == (1, 0, 1)


def test_a_child_that_expires_while_it_waits_for_its_flow_counts_as_cancelled(shop, box, pass_time):
    @shop.app.deferred(name="limited", flow=Flow(concurrency=1), expires=10)
    def limited():
        shop.ran.append(1)

    flows = shop.app.flows()
    flows.pause("limited")
    with shop.batch() as batch:
        batch.add(limited)
    box.drain()
    box.travel(by=20)
    flows.resume("limited")
    pass_time(3000)

    assert shop.ran == []
    assert shop.counts() == (0, 0, 1)


@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize("why", ["cancelled", "expired"])
def test_children_that_are_dropped_when_their_flow_calls_them_hold_nobody_up(
    shop, box, pass_time, why, is_late
):
    @shop.app.deferred(name="limited", flow=Flow(concurrency=1))
    def limited(number):
        shop.ran.append(number)

    flows, expires = shop.app.flows(), 10 if why == "expired" else None
    flows.pause("limited")
    with shop.batch(name="import") as batch:
        batch.map(limited.options(expires=expires), range(5))
    box.drain()
    if why == "cancelled":
        shop.app.batches().get("import").cancel()
    pass_time(3000 if is_late else 30)
    flows.resume("limited")
    limited(99)
    pass_time(30)

    assert shop.ran == [99]
    assert is_late or shop.counts() == (0, 0, 5)


def test_a_child_that_waits_for_its_flow_has_not_ended(shop, box, pass_time):
    @shop.app.deferred(name="limited", flow=Flow(concurrency=1))
    def limited():
        shop.ran.append(1)

    flows = shop.app.flows()
    flows.pause("limited")
    with shop.batch() as batch:
        batch.add(limited)
    (first,) = box.queue.tasks.values()
    box.drain()
    box.deliver(kept(first))
    assert shop.done == []
    flows.resume("limited")
    pass_time(120)

    assert shop.ran == [1]
    assert shop.counts() == (1, 0, 0)


@pytest.mark.parametrize("reason", [Snooze(20), RetryLater(20)])
def test_a_child_that_goes_on_as_another_task_has_not_ended(shop, box, pass_time, reason):
    attempts = []

    def once_again():
        attempts.append(1)
        if len(attempts) == 1:
            raise reason

    shop.within[1] = once_again
    (first,) = make(shop, 1)
    box.drain()
    queued = kept(first)
    queued.attempt = Attempt(retry_count=1)
    assert box.deliver(queued) is Outcome.DONE  # a duplicate of the former task
    assert shop.done == []
    pass_time(120)

    assert shop.counts() == (1, 0, 0)


def test_a_child_that_is_no_longer_wanted_is_done(shop, box):
    def discard():
        raise Discard("not wanted")

    shop.within[1] = discard
    make(shop, 1)
    box.drain()

    assert shop.counts() == (1, 0, 0)


def test_a_claimed_child_that_has_failed_does_not_count_as_done_afterwards(shop, box, pass_time):
    """The failure was recorded, but the process died before it was marked in the batch."""

    @shop.app.deferred(name="once", once=True)
    def once():
        shop.ran.append(1)
        raise PermanentTaskFailure("broken")

    with shop.batch() as batch:
        batch.add(once)
    ends = shop.app.wiring().batch_ends
    real = ends.end
    ends.end = lambda *_: 1 / 0
    box.drain()
    ends.end = real
    pass_time(120)

    assert shop.ran == [1]
    assert shop.counts() == (0, 1, 0)


def test_a_child_whose_records_are_gone_runs_all_the_same(shop, box):
    make(shop, 1)
    for key in list(box.store.records):
        del box.store.records[key]
    box.drain()

    assert shop.ran == [1]


# Dead letters


def test_a_replayed_child_is_open_again_and_the_batch_ends_again(shop, box):
    shop.broken = {2}
    make(shop, 1, 2)
    box.drain()
    (letter,) = box.dead_letters()
    shop.broken = set()
    StoredDeadLetters.of(box.wiring.adapters).replay(letter.task_id)
    (state,) = shop.app.batches().find()
    assert (state["status"], state["done"], state["failed"], state["total"]) == ("running", 1, 0, 2)
    box.drain()

    assert [each["round"] for each in shop.done] == [0, 1]
    assert (shop.done[1]["done"], shop.done[1]["failed"]) == (2, 0)


def test_a_discarded_child_stays_failed(shop, box):
    shop.broken = {2}
    make(shop, 1, 2)
    box.drain()
    (letter,) = box.dead_letters()
    StoredDeadLetters.of(box.wiring.adapters).discard(letter.task_id)
    box.drain()

    assert shop.counts() == (1, 1, 0)
    assert shop.app.batches().find().__next__()["failed"] == 1


def test_a_child_that_is_replayed_before_its_failure_was_marked_runs(shop, box):
    shop.broken = {1}
    (first,) = make(shop, 1)
    ends, letters = shop.app.wiring().batch_ends, StoredDeadLetters.of(box.wiring.adapters)
    real = ends.end

    def replay_first(place, state):
        if state is State.FAILED:
            shop.broken = set()
            letters.replay(box.dead_letters()[0].task_id)
        return real(place, state)

    ends.end = replay_first
    box.deliver(first)
    ends.end = real
    box.drain()

    assert shop.ran == [1, 1]
    assert shop.done[-1]["done"] == 1


# Children that add children


def test_a_child_adds_children_and_the_batch_waits_for_them(shop, box):
    def add():
        current_batch().add(shop.work, 10)
        assert [each.args for each in box.enqueued(shop.work)][-1] == (10,)
        with current_batch() as batch:
            batch.map(shop.work, [11, 12])
            batch.add(shop.work.options(delay=100), 13)

    shop.within = {1: add}
    make(shop, 1)
    box.drain()
    assert shop.done == []
    box.travel(by=100)
    box.drain()

    assert sorted(shop.ran) == [1, 10, 11, 12, 13]
    assert shop.counts() == (5, 0, 0)


@pytest.mark.parametrize("count", [3, 150, 400])
def test_a_child_that_is_retried_adds_the_same_children_once(shop, box, count):
    attempts = []

    def add():
        attempts.append(1)
        order = range(count) if len(attempts) == 1 else reversed(range(count))
        with current_batch() as batch:
            batch.map(shop.work, (100 + each for each in order))
            batch.flush()
            if len(attempts) == 1:
                raise RuntimeError("not yet")

    shop.within = {1: add}
    make(shop, 1, 2)
    for _ in range(6):
        box.drain(limit=10_000)
        box.travel(by=60)

    assert sorted(shop.ran) == [1, 1, 2, *range(100, 100 + count)]
    assert shop.counts() == (2 + count, 0, 0)


def test_a_child_goes_on_to_add_after_one_was_refused(shop, box):
    def add():
        changed, batch = [2], current_batch().__enter__()
        batch.add(shop.work, changed)
        changed.append(object())
        with pytest.raises(EncodeError):
            batch.flush()
        batch.add(shop.work, 2)
        batch.flush()

    shop.within = {1: add}
    make(shop, 1)
    box.drain()

    assert shop.ran == [1, 2]
    assert shop.counts() == (2, 0, 0)


def test_a_block_of_a_child_that_breaks_off_adds_nothing(shop, box):
    def add():
        with contextlib.suppress(ZeroDivisionError), current_batch() as batch:
            batch.add(shop.work, 2)
            _ = 1 / 0
        current_batch().add(shop.work, 3)

    shop.within = {1: add}
    make(shop, 1)
    box.drain()

    assert shop.ran == [1, 3]
    assert shop.counts() == (2, 0, 0)


def test_a_block_of_a_child_that_is_repeated_adds_the_same_children(shop, box):
    many = box.queue.enqueue_many

    def add():
        for refused in (True, False):
            if refused:
                box.queue.enqueue_many = lambda tasks: [UnavailableError("away")] * len(tasks)
            with contextlib.suppress(UnavailableError), current_batch() as batch:
                batch.map(shop.work, [2, 2])
            box.queue.enqueue_many = many

    shop.within = {1: add}
    make(shop, 1)
    box.drain()

    assert shop.ran == [1, 2, 2]
    assert shop.counts() == (3, 0, 0)


def test_children_of_children_of_children(shop, box):
    def add(number):
        if number < 220:
            current_batch().add(shop.work, number + 1)

    shop.within = {number: (lambda number=number: add(number)) for number in range(220)}
    make(shop, 0)
    box.drain(limit=10_000)

    assert shop.ran == list(range(221))
    assert shop.counts() == (221, 0, 0)
    assert max(len(each["states"]) for each in shop.shards()) <= 400


@pytest.mark.parametrize("count", [1, 400])
@pytest.mark.parametrize("is_given_up", [False, True])
def test_calls_that_were_registered_and_never_enqueued_hold_no_batch_up(
    shop, box, pass_time, count, is_given_up
):
    attempts, many = [], box.queue.enqueue_many

    def add():
        attempts.append(1)
        if len(attempts) == 1:
            box.queue.enqueue_many = lambda tasks: [UnavailableError("away")] * len(tasks)
            try:
                with current_batch() as batch:
                    batch.map(shop.work, range(100, 100 + count))
            finally:
                box.queue.enqueue_many = many
        elif is_given_up:
            raise PermanentTaskFailure("given up")

    shop.within = {1: add}
    make(shop, 1, 2)
    pass_time(300)

    assert sorted(shop.ran) == [1, 1, 2]
    assert shop.counts() == (1, 1, count) if is_given_up else (2, 0, count)


@pytest.mark.parametrize("is_retried", [False, True])
def test_runs_that_a_child_has_registered_and_that_never_began_hold_no_batch_up(
    shop, box, pass_time, is_retried
):
    attempts, enqueue, class_ = [], box.queue.enqueue, iteration(shop)

    def refuse(_task):
        raise UnavailableError("away")

    def add():
        attempts.append(1)
        if len(attempts) == 1:
            box.queue.enqueue = refuse
            try:
                current_batch().add(class_, RowList([{"n": 1}]))
            except UnavailableError:
                if is_retried:
                    raise
            finally:
                box.queue.enqueue = enqueue

    shop.within = {1: add}
    make(shop, 1)
    pass_time(300)

    assert shop.counts() == (1, 0, 1)


@pytest.mark.parametrize("numbers", [[], [2, 3]])
def test_a_nested_batch_that_a_child_has_registered_and_not_sealed_is_sealed(
    shop, box, pass_time, numbers
):
    real = box.store.transact

    def add():
        with contextlib.suppress(StoreError), current_batch().batch() as inner:
            inner.map(shop.work, numbers)
            inner.flush()
            box.store.transact = fail_second
        box.store.transact = real

    def fail_second(work):
        commits.append(work)
        if len(commits) == 2:
            raise StoreError("away")
        return real(work)

    commits = []
    shop.within = {1: add}
    make(shop, 1)
    pass_time(300)

    assert len(commits) == 2
    assert sorted(shop.ran) == [1, *numbers]
    assert shop.counts() == ((2, 0, 0) if numbers else (1, 0, 1))


def test_a_query_that_cannot_be_iterated_is_refused_when_a_child_adds_it(shop, box):
    class_ = iteration(shop)

    def add():
        with pytest.raises(DeclarationError):
            current_batch().add(class_, None)

    shop.within = {1: add}
    make(shop, 1)
    box.drain()

    assert shop.counts() == (1, 0, 0)


def test_a_child_adds_a_nested_batch(shop, box):
    def add():
        with current_batch() as batch, batch.batch(name="inner") as inner:
            inner.map(shop.work, [2, 3])

    shop.within = {1: add}
    make(shop, 1)
    box.drain()

    assert sorted(shop.ran) == [1, 2, 3]
    assert shop.counts() == (2, 0, 0)


def test_a_call_outside_of_a_batch_has_none(shop, box):
    with pytest.raises(NoCurrentBatchError):
        current_batch()
    shop.within = {1: current_batch}
    shop.work(1)
    assert box.drain() == [Outcome.FAILED]


def test_a_call_outside_of_a_batch_costs_nothing(shop, box, commits):
    shop.work(1)
    (queued,) = box.queue.tasks.values()
    assert b"batch" not in queued.task.body
    box.store.get = lambda _keys: 1 / 0
    box.drain()

    assert shop.ran == [1]
    assert commits == []


# A policy


def test_the_first_failure_cancels_the_rest_if_that_is_the_policy(shop, box):
    shop.broken = {1}
    tasks = make(shop, 1, *range(2, 50), policy="cancel")
    box.deliver(next(each for each in tasks if b'"args":[1]' in each.task.body))
    box.drain()

    assert shop.ran == [1]
    assert shop.counts() == (0, 1, 48)
    assert shop.done[0]["status"] == "failed"
    assert len(shop.failed) == 1


def test_nested_batches_and_runs_are_cancelled_with_the_rest(shop, box):
    shop.broken = {1}

    @shop.app.query_iter(name="walk")
    class Walk(adjourn.QueryIter):
        def handle_entry(self, entry, custom_data):  # noqa: ARG002 - is not called
            shop.ran.append(entry)

    with shop.batch(policy="cancel") as batch:
        batch.add(shop.work, 1)
        batch.add(Walk, adjourn.RowList([{"n": 1}]))
        with batch.batch() as inner:
            inner.add(shop.work, 2)
    tasks = list(box.queue.tasks.values())
    box.deliver(next(each for each in tasks if b'"args":[1]' in each.task.body))
    guard = next(each for each in box.queue.tasks.values() if each.task.label == "adjourn.batch")
    box.deliver(guard)
    box.drain()

    assert shop.ran == [1]
    assert shop.counts() == (0, 1, 2)


# Iterations


def test_a_run_that_stops_has_failed_and_goes_on_when_it_is_retried(shop, pass_time):
    broken = [True]

    @shop.app.query_iter(name="walk")
    class Walk(adjourn.QueryIter):
        def handle_entry(self, entry, custom_data):  # noqa: ARG002 - the signature
            if broken[0]:
                raise RuntimeError("broken")
            shop.ran.append(entry)

        def handle_error(self, entry, custom_data, exception):  # noqa: ARG002 - the signature
            return adjourn.OnError.STOP

    with shop.batch(name="import") as batch:
        batch.add(Walk, adjourn.RowList([{"n": 1}]))
    pass_time(300)
    assert shop.counts() == (0, 1, 0)

    broken[0] = False
    assert shop.app.batches().get("import").retry() == 1
    pass_time(300)

    assert len(shop.ran) == 1
    assert [(each["done"], each["failed"]) for each in shop.done] == [(0, 1), (1, 0)]


def test_the_end_of_a_run_that_told_nobody_is_told_by_the_next_delivery(shop, box):
    @shop.app.query_iter(name="walk")
    class Walk(adjourn.QueryIter):
        def handle_entry(self, entry, custom_data):  # noqa: ARG002 - the signature
            shop.ran.append(entry)

    with shop.batch() as batch:
        batch.add(Walk, adjourn.RowList([{"n": 1}]))
    runs = shop.app.wiring().runs
    tell, runs.tell_end = runs.tell_end, lambda _run: 1 / 0
    box.drain()
    assert shop.done == []
    runs.tell_end = tell
    box.drain()

    assert len(shop.ran) == 1
    assert shop.counts() == (1, 0, 0)


def test_a_place_is_a_text():
    place = Place("0" * 32, "1" * 32, "2" * 32)

    assert Place.of(place.text) == place
    assert Place.of("0" * 32) is None
    assert place.key == b"\x22" * 16


def test_a_child_that_is_replayed_while_its_end_is_told_on_is_open(shop, box):
    shop.broken = {1}
    (first,) = make(shop, 1)
    ends, letters = shop.app.wiring().batch_ends, StoredDeadLetters.of(box.wiring.adapters)
    real = ends._rise

    def replay_first(shard):
        ends._rise = real
        shop.broken = set()
        letters.replay(box.dead_letters()[0].task_id)
        real(shard)

    ends._rise = replay_first
    box.deliver(first)
    assert shop.done == []
    box.drain()

    assert shop.ran == [1, 1]
    assert shop.counts() == (1, 0, 0)
