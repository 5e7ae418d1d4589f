"""Many calls at once: `task.map`, and what it is made of."""

import itertools
import threading
from contextvars import ContextVar

import pytest

from adjourn.concurrency import Scoped, batches, in_threads
from adjourn.errors import EncodeError, QueueNotFoundError
from adjourn.testing import sandbox

colour: ContextVar[str] = ContextVar("colour", default="none")


@pytest.fixture
def calls():
    return []


@pytest.fixture
def send(app, calls):
    @app.deferred(name="send")
    def function(*args):
        calls.append(args)

    return function


def test_each_item_is_a_call(box, send, calls):
    handles = list(send.imap(["a", ["b"], ("c", "d")]))

    assert [each.is_new for each in handles] == [True] * 3
    assert [each.name for each in handles] == list(box.queue.tasks)
    box.drain()
    assert calls == [("a",), (["b"],), (("c", "d"),)]


def test_several_iterables_give_an_argument_each(box, send, calls):
    list(send.imap(["a", "b"], itertools.repeat("c")))

    box.drain()
    assert calls == [("a", "c"), ("b", "c")]


def test_nothing_is_enqueued_lazily_before_the_results_are_consumed(box, send):
    send.imap(["a"])

    assert not box.queue.tasks


def test_everything_is_enqueued_if_nobody_looks_at_the_results(box, send):
    send.map(range(250))

    assert len(box.queue.tasks) == 250


def test_a_failing_iterable_raises_once_all_earlier_items_are_enqueued(box, send):
    def items():
        yield from range(250)
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        send.map(items())

    assert len(box.queue.tasks) == 250


def test_options_hold_for_every_call(box, send):
    handles = list(send.options(queue="mail", delay=60, max_retries=3).map(["a", "b"]))

    assert {each.queue for each in handles} == {"mail"}
    assert {each.eta for each in handles} == {q.due for q in box.queue.tasks.values()}


def test_an_argument_that_cannot_be_carried_spoils_no_other(box, send, calls):
    first, second, third = send.map([1, object(), 3])

    assert (first.is_new, third.is_new) == (True, True)
    assert isinstance(second, EncodeError)
    assert "args[0]" in str(second)
    box.drain()
    assert calls == [(1,), (3,)]


def test_what_the_queue_refuses_is_the_result_of_each(app, send):
    with sandbox(app) as box:
        box.queue._queues = {"default"}

        results = list(send.options(queue="mail").map(range(250)))

    assert [type(each) for each in results] == [QueueNotFoundError] * 250


def test_a_named_batch_that_is_repeated_enqueues_only_what_is_missing(box, send):
    batch = send.options(call_name="import-1")
    interrupted = list(batch.map(range(3)))

    repeated = list(batch.map(range(5)))

    assert [each.is_new for each in repeated] == [False] * 3 + [True] * 2
    assert [each.name for each in repeated[:3]] == [each.name for each in interrupted]
    assert len(box.queue.tasks) == 5


def test_batches_of_other_names_are_other_batches(box, send):
    for name in ("a", "a-1"):
        list(send.options(call_name=name).map(range(12)))

    assert len(box.queue.tasks) == 24


def test_an_endless_iterable_is_read_only_a_little_ahead(box, send):
    numbers = itertools.count()

    taken = list(itertools.islice(send.imap(numbers), 10))

    assert [each.is_new for each in taken] == [True] * 10
    assert next(numbers) <= 1000
    assert len(box.queue.tasks) <= 1000


@pytest.mark.usefixtures("box")
def test_a_failing_iterable_is_told_after_all_results(send):
    def items():
        yield from range(250)
        raise LookupError("no more")

    results = send.imap(items())

    assert len([next(results) for _ in range(250)]) == 250
    with pytest.raises(LookupError, match="no more"):
        next(results)


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 1234])
def test_no_result_is_missing(box, send, count):
    assert len(list(send.imap(range(count)))) == count
    assert len(box.queue.tasks) == count


# What it is made of


def test_a_batch_is_bounded_by_count():
    assert [len(each) for each in batches(range(201), lambda _: 1)] == [100, 100, 1]


def test_a_batch_is_bounded_by_weight_but_never_empty():
    weights = [9_000_000, 1_000_000, 1_000_000, 1_000_000, 2_500_000]

    made = list(batches(weights, lambda weight: weight))

    assert made == [weights[:1], weights[1:3], weights[3:4], weights[4:]]


def test_groups_are_worked_on_at_the_same_time_and_told_in_order():
    together = threading.Barrier(8, timeout=10)

    def work(group):
        together.wait()
        return group

    assert list(in_threads(work, [[n] for n in range(16)])) == list(range(16))


def test_what_fails_in_a_thread_is_raised():
    def work(group):
        raise LookupError(group)

    with pytest.raises(LookupError):
        list(in_threads(work, [[1]]))


def test_groups_are_worked_on_in_the_context_of_the_caller():
    with Scoped(colour, "red"):
        seen = list(in_threads(lambda group: [colour.get(), *group], [[1], [2]]))

    assert seen == ["red", 1, "red", 2]
