"""Calls of which there is to be one in a period."""

import datetime as dt

import pytest

from adjourn import DeclarationError, EnqueueError
from adjourn.execution.delivery import Outcome
from adjourn.tasks.unique import KIND

HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)


@pytest.fixture
def work(app, ran):
    @app.deferred(name="work", unique_by="arguments")
    def work(*args, **kwargs):
        ran.append((args, kwargs))

    return work


def entries(box):
    return [key for key in box.store.records if key.kind == KIND]


@pytest.mark.parametrize("unique_for", [None, 60, HOUR, DAY, 30 * DAY])
def test_the_second_call_with_the_same_arguments_gets_the_handle_of_the_first(
    box, work, ran, unique_for
):
    task = work.options(unique_for=unique_for)

    first = task(1, a=2, b=3)
    second = task(1, b=3, a=2)

    assert (first.is_new, second.is_new) == (True, False)
    assert first.name == second.name
    assert box.drain() == [Outcome.DONE]
    assert not task(1, a=2, b=3).is_new
    assert len(ran) == 1


@pytest.mark.usefixtures("box")
def test_calls_with_other_arguments_or_types_are_others(work):
    handles = [work(one) for one in (1, 2, 1.0, True, "1", [1], (1,))] + [work(one=1)]

    assert all(handle.is_new for handle in handles)


@pytest.mark.usefixtures("box")
def test_an_argument_is_the_same_by_position_and_by_name(app):
    @app.deferred(name="receipt", unique_by="arguments")
    def receipt(order, copies=1, *, to="all"):
        pass

    calls = [
        receipt("A-1", 2, to="ann"),
        receipt("A-1", to="ann", copies=2),
        receipt(to="ann", copies=2, order="A-1"),
        receipt("A-1", 3, to="ann"),
    ]

    assert [call.is_new for call in calls] == [True, False, False, True]


@pytest.mark.usefixtures("box")
def test_unique_by_task_looks_at_no_arguments(work):
    task = work.options(unique_by="task")

    assert [task(1).is_new, task(2).is_new] == [True, False]


@pytest.mark.parametrize("unique_for", [HOUR, DAY])
def test_the_next_period_has_its_own(box, work, ran, unique_for):
    task = work.options(unique_for=unique_for)

    for _ in range(3):
        assert task(1).is_new
        box.drain()
        box.clock.advance(unique_for)

    assert len(ran) == 3


def test_a_long_period_holds_after_the_name_is_free_again(box, work):
    task = work.options(unique_for=DAY)
    task(1)
    box.drain()

    box.clock.advance(23 * HOUR)

    assert not task(1).is_new
    assert box.drain() == []
    assert len(entries(box)) == 1


def test_a_short_period_costs_no_operation_of_the_store(box, work):
    work.options(unique_for=HOUR).defer(1)

    assert box.store.records == {}


def test_a_call_that_crashed_before_it_was_enqueued_is_made_good_by_the_next(
    box, work, ran, monkeypatch
):
    def crash(_):
        raise EnqueueError("away")

    task = work.options(unique_for=DAY)
    with monkeypatch.context() as patch:
        patch.setattr(box.queue, "enqueue", crash)
        with pytest.raises(EnqueueError):
            task(1)

    assert task(1).is_new
    assert not task(1).is_new
    box.drain()
    assert len(ran) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unique_by": "name"}, 'must be "arguments" or "task"'),
        ({"unique_by": None, "unique_for": 5}, 'unique_for needs unique_by="arguments"'),
        ({"unique_for": 0}, "unique_for must be more than zero"),
        ({"name": "x"}, "Give name or unique_by, not both"),
    ],
)
def test_what_contradicts_itself_is_refused(work, changes, message):
    with pytest.raises(DeclarationError, match=message):
        work.options(**changes)


def test_a_unique_call_is_not_made_inside_a_transaction(box, work):
    with (
        box.transactions.begin() as transaction,
        pytest.raises(DeclarationError, match="call it after the transaction"),
    ):
        work(1)

    assert transaction == {}
    assert box.queue.tasks == {}


@pytest.mark.usefixtures("box")
def test_unique_calls_are_not_made_in_bulk(work):
    with pytest.raises(DeclarationError, match="one by one"):
        list(work.map([1, 2]))
