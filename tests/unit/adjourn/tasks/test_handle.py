"""A handle follows its call to whatever task it is now."""

import datetime as dt

import pytest

from adjourn import RetryLater, Snooze
from adjourn.errors import StoreError, UnavailableError
from adjourn.execution.attempt import Attempt
from adjourn.execution.delivery import Outcome

MINUTE = dt.timedelta(minutes=1)
DAY = dt.timedelta(days=1)


@pytest.fixture
def work(app, ran):
    """Return a task that ends as it is told, one instruction for each attempt."""

    @app.deferred(name="work")
    def work(*instructions):
        attempt = len(ran)
        ran.append(attempt)
        if attempt < len(instructions) and instructions[attempt]:
            raise {"snooze": Snooze(MINUTE), "retry": RetryLater(MINUTE)}[instructions[attempt]]

    return work


def unavailable(*_, **__):
    raise UnavailableError("away")


# A call that never leaves its first task


def test_a_call_that_waits_is_found_and_cancelled(box, work, ran):
    handle = work.options(delay=60).defer()

    assert handle.fetch().attempts == 0
    assert handle.cancel()
    assert (handle.fetch(), handle.cancel()) == (None, False)
    box.clock.advance(MINUTE)
    assert (box.drain(), ran) == ([], [])


def test_a_call_that_has_ended_is_neither_found_nor_cancelled(box, work):
    handle = work()
    box.drain()

    assert (handle.fetch(), handle.cancel()) == (None, False)
    assert box.store.records == {}


def test_the_handle_of_a_call_that_existed_deletes_its_task_alone(box, work):
    work.options(call_name="one").defer()
    second = work.options(call_name="one").defer()

    assert second.cancel()
    assert box.queue.tasks == {}


# A call that goes on as another task


@pytest.mark.parametrize("instruction", ["snooze", "retry"])
def test_a_call_that_was_enqueued_again_is_found(box, work, instruction):
    handle = work(instruction)
    box.drain()

    assert handle.fetch().next_start == box.clock.now() + MINUTE
    box.clock.advance(MINUTE)
    box.drain()
    assert handle.fetch() is None


@pytest.mark.parametrize("instruction", ["snooze", "retry"])
def test_a_call_that_was_enqueued_again_is_cancelled(box, work, instruction):
    handle = work(instruction)
    box.drain()

    assert handle.cancel()
    assert box.queue.tasks == {}
    assert (handle.fetch(), handle.cancel()) == (None, False)


def test_a_call_that_waits_for_a_commit_is_found_and_cancelled(box, work, ran):
    with box.transactions.begin():
        handle = work()
        box.clock.advance(MINUTE)
        box.drain()
        assert handle.fetch() is not None
        assert handle.cancel()

    box.clock.advance(MINUTE)
    assert (box.drain(), ran) == ([], [])


def test_a_call_that_ended_elsewhere_is_not_cancelled(box, work):
    handle = work("snooze")
    box.drain()
    box.clock.advance(MINUTE)
    box.drain()

    assert not handle.cancel()


def test_a_call_that_is_cancelled_while_it_runs_is_not_enqueued_again(app, box, ran):
    @app.deferred(name="impatient")
    def impatient():
        ran.append(handle.cancel())
        raise Snooze(MINUTE)

    handle = impatient()

    assert box.drain() == [Outcome.DONE]
    assert box.queue.tasks == {}
    assert ran == [True]


def test_a_call_that_is_cancelled_between_two_tasks_does_not_run(box, work, ran, monkeypatch):
    """The new task is there, but neither its record nor the end of the former one."""
    handle = work("snooze")
    (former,) = box.queue.tasks.values()

    def away(_):
        raise StoreError("away")

    with monkeypatch.context() as patch:
        patch.setattr(box.store, "transact", away)
        box.deliver(former)
    box.queue.tasks[former.name] = former

    assert handle.cancel()
    box.clock.advance(MINUTE)
    assert box.drain() == [Outcome.DONE]

    assert (len(ran), handle.fetch()) == (1, None)


def test_a_cancelled_task_that_could_not_be_deleted_does_not_run(box, work, ran, monkeypatch):
    handle = work("snooze")
    box.drain()
    former = handle.name
    delete = box.queue.delete
    monkeypatch.setattr(
        box.queue, "delete", lambda name: delete(name) if name == former else unavailable()
    )
    with pytest.raises(UnavailableError):
        handle.cancel()
    box.clock.advance(MINUTE)

    assert box.drain() == [Outcome.DONE]
    assert len(ran) == 1


def test_another_delivery_of_a_former_task_does_not_run_what_has_gone_on(box, work, ran):
    work("snooze")
    (former,) = box.queue.tasks.values()
    box.drain()
    box.queue.tasks[former.name] = former
    former.attempt = Attempt(retry_count=1)  # the first answer was lost

    assert box.drain() == [Outcome.DONE]
    assert (len(ran), len(box.queue.tasks)) == (1, 1)


# Starts that lie further ahead than those of tasks may


def test_a_call_for_next_quarter_is_found_on_its_way(box, work, ran):
    handle = work.options(delay=100 * DAY).defer()

    for _ in range(9):
        box.clock.advance(10 * DAY)
        box.drain()
        assert handle.fetch() is not None
    assert ran == []
    box.clock.advance(10 * DAY)
    box.drain()
    assert len(ran) == 1


def test_a_call_for_next_quarter_is_cancelled_on_its_way(box, work):
    handle = work.options(delay=100 * DAY).defer()
    box.clock.advance(30 * DAY)
    box.drain()

    assert handle.cancel()
    assert box.queue.tasks == {}


def test_a_snooze_of_40_days_lasts_40_days(app, box, ran):
    @app.deferred(name="patient")
    def patient():
        ran.append(1)
        if len(ran) == 1:
            raise Snooze(40 * DAY)

    patient()
    box.drain()
    for _ in range(39):
        box.clock.advance(DAY)
        box.drain()
    assert len(ran) == 1
    box.clock.advance(DAY)
    box.drain()
    assert len(ran) == 2


# Runs that are forced (RunTask)


@pytest.mark.parametrize("delay", [MINUTE, 20 * DAY, 100 * DAY])
def test_a_forced_run_runs_at_once(box, work, ran, delay):
    work.options(delay=delay).defer()
    (queued,) = box.queue.tasks.values()

    assert box.deliver(queued) is Outcome.DONE
    assert len(ran) == 1
    assert box.queue.tasks == {}


def test_a_forced_run_of_a_call_on_its_last_way_runs_at_once(box, work, ran):
    work.options(delay=40 * DAY).defer()
    box.clock.advance(29 * DAY)
    box.drain()
    (queued,) = box.queue.tasks.values()

    assert box.deliver(queued) is Outcome.DONE
    assert len(ran) == 1


def test_a_forced_run_that_snoozes_comes_back_when_it_says(box, work, ran):
    work.options(delay=100 * DAY).defer("snooze")
    (queued,) = box.queue.tasks.values()
    box.deliver(queued)
    box.clock.advance(MINUTE)

    assert box.drain() == [Outcome.DONE]
    assert len(ran) == 2


def test_a_task_that_arrives_a_little_early_goes_on_to_its_start(box, work, ran):
    work.options(delay=100 * DAY).defer()
    box.clock.advance(29 * DAY - MINUTE)
    (queued,) = box.queue.tasks.values()

    assert box.deliver(queued) is Outcome.DONE
    assert (ran, len(box.queue.tasks)) == ([], 1)
