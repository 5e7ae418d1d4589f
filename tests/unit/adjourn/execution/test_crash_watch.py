"""Attempts that began and never ended count; the limits hold for a call over all of its tasks."""

import datetime as dt
from contextlib import contextmanager
from dataclasses import replace

import pytest

from adjourn import RetryLater, Snooze, current_task
from adjourn.errors import StoreError, UnavailableError
from adjourn.execution.attempt import Attempt
from adjourn.execution.delivery import Outcome
from adjourn.execution.replay import StoredDeadLetters
from adjourn.testing import SETTINGS, sandbox

MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def box(app):
    with sandbox(app, replace(SETTINGS, max_attempts={"": 5}, function_timeout=1800)) as made:
        yield made


@pytest.fixture
def work(app, ran):
    """Return a task that ends as it is told, one instruction for each attempt.

    Told to die, it raises what no code of ours catches.
    """

    @app.deferred(name="work")
    def work(*instructions):
        attempt = len(ran)
        ran.append(current_task())
        if attempt < len(instructions) and instructions[attempt]:
            raise {
                "fail": RuntimeError("fail"),
                "die": KeyboardInterrupt,
                "snooze": Snooze(MINUTE),
                "retry": RetryLater(MINUTE),
            }[instructions[attempt]]

    return work


def deliver(box):
    """Deliver the task that is due; one whose process dies is delivered again."""
    (queued,) = box.queue.due()
    try:
        return box.deliver(queued)
    except KeyboardInterrupt:
        attempt = queued.attempt
        queued.attempt = attempt._replace(retry_count=attempt.retry_count + 1)
        if queued.attempt.retry_count >= 5:
            box.queue.settle(queued)  # the queue makes no further attempt
        return None


def letters(box):
    return [record for key, (_, record) in box.store.records.items() if "Dead" in key.kind]


def calls(box):
    return [record for key, (_, record) in box.store.records.items() if key.kind == "AdjournCall"]


def away(*_, **__):
    raise StoreError("away")


# What it costs


def test_a_plain_call_that_runs_and_ends_has_no_record(box, work, monkeypatch):
    monkeypatch.setattr(box.store, "transact", away)
    monkeypatch.setattr(box.store, "get", away)
    work("fail")

    assert [deliver(box), deliver(box)] == [Outcome.FAILED, Outcome.DONE]
    assert box.store.records == {}


def test_a_retried_call_needs_no_datastore_to_run(box, work, ran, monkeypatch):
    work("die")
    deliver(box)
    monkeypatch.setattr(box.store, "transact", away)

    assert deliver(box) is Outcome.DONE
    assert len(ran) == 2


# Crashes


def test_attempts_whose_process_died_use_up_the_retries(box, work, ran):
    work.options(max_retries=2).defer(*["die"] * 9)

    outcomes = [deliver(box) for _ in range(5)]

    # What became of the first attempt is not known: nothing was noted yet.
    assert outcomes == [None, None, None, None, Outcome.DEAD]
    assert [task.is_last_attempt for task in ran] == [False, False, False, True]
    assert letters(box)[0]["error"] == (
        "TaskCrashedError: Its process died or ran out of time 3 times."
    )
    assert box.queue.tasks == {}


def test_failures_and_crashes_count_together(box, work):
    work.options(max_retries=2).defer("die", "die", "fail", "fail")

    outcomes = [deliver(box) for _ in range(4)]

    assert outcomes == [None, None, Outcome.FAILED, Outcome.DEAD]
    assert letters(box)[0]["error"] == "RuntimeError: fail"


def test_another_delivery_of_the_same_attempt_is_no_crash(box, work, ran):
    work.options(max_retries=1).defer("die", "die")
    deliver(box)
    (queued,) = box.queue.due()
    with pytest.raises(KeyboardInterrupt):
        box.deliver(queued)

    assert box.deliver(queued) is Outcome.DONE
    assert len(ran) == 3


def test_an_attempt_that_never_reached_the_function_is_no_crash(box, work, ran):
    work.options(max_retries=1).defer()
    (queued,) = box.queue.due()
    queued.attempt = Attempt(retry_count=3)

    assert box.deliver(queued) is Outcome.DONE
    assert [task.is_last_attempt for task in ran] == [False]


def test_a_call_whose_answer_was_lost_does_not_run_again(box, work, ran):
    work("die")
    (queued,) = box.queue.due()
    deliver(box)
    assert box.deliver(queued) is Outcome.DONE
    box.queue.tasks[queued.name] = queued
    queued.attempt = Attempt(retry_count=2)

    assert box.deliver(queued) is Outcome.DONE
    assert len(ran) == 2


def test_a_claimed_call_whose_process_dies_waits_for_its_lease_and_counts(box, work, ran):
    work.options(once=True, max_retries=0).defer("die", "die", "die")
    deliver(box)
    assert deliver(box) is Outcome.BUSY

    box.clock.advance(HOUR)
    deliver(box)
    box.clock.advance(HOUR)

    assert deliver(box) is Outcome.DEAD
    assert len(ran) == 2


# The queue's last attempt


def at_the_last_attempt(box):
    (queued,) = box.queue.due()
    queued.attempt = Attempt(retry_count=4, execution_count=4)


def test_a_call_whose_process_dies_at_the_queues_last_attempt_is_a_dead_letter(box, work, ran):
    work(*["die"] * 9)
    at_the_last_attempt(box)
    deliver(box)
    assert len(box.queue.tasks) == 1

    box.clock.advance(HOUR)

    assert deliver(box) is Outcome.DEAD
    assert (len(ran), box.queue.tasks) == (1, {})
    assert "died or ran out of time once" in letters(box)[0]["error"]
    assert letters(box)[0]["attempts"] == 6


@pytest.mark.parametrize("instruction", ["", "fail", "snooze", "retry"])
def test_the_successor_of_a_last_attempt_that_ended_is_gone(box, work, ran, instruction):
    work(instruction)
    at_the_last_attempt(box)

    deliver(box)

    assert len(box.queue.tasks) == (instruction == "snooze")
    box.clock.advance(HOUR)
    box.drain()
    assert len(ran) == 1 + (instruction == "snooze")
    assert len(letters(box)) == (instruction in {"fail", "retry"})


@pytest.mark.parametrize("instruction", ["", "fail", "snooze"])
def test_a_successor_that_could_not_be_deleted_does_nothing(
    box, work, ran, instruction, monkeypatch
):
    def unavailable(_):
        raise UnavailableError("away")

    monkeypatch.setattr(box.queue, "delete", unavailable)
    work(instruction)
    at_the_last_attempt(box)

    deliver(box)
    box.clock.advance(HOUR)
    box.drain()

    assert len(ran) == 1 + (instruction == "snooze")
    assert len(letters(box)) == (instruction == "fail")
    assert box.queue.tasks == {}


def test_the_last_attempt_is_made_even_if_no_successor_can_be_enqueued(box, work, ran, monkeypatch):
    def unavailable(_):
        raise UnavailableError("away")

    work()
    at_the_last_attempt(box)
    monkeypatch.setattr(box.queue, "enqueue", unavailable)

    assert deliver(box) is Outcome.DONE
    assert len(ran) == 1


# All tasks of a call


def test_retry_later_ends_at_the_queues_limit(box, work, ran):
    work(*["retry"] * 9)

    outcomes = []
    while box.queue.tasks:
        outcomes.append(deliver(box))
        box.clock.advance(MINUTE)

    assert outcomes == [Outcome.DONE] * 4 + [Outcome.DEAD]
    assert [task.is_last_attempt for task in ran] == [False] * 4 + [True]


def test_snoozing_does_not_use_up_the_queues_limit(box, work, ran):
    work(*["snooze"] * 9)

    while box.queue.tasks:
        deliver(box)
        box.clock.advance(MINUTE)

    assert (len(ran), letters(box)) == (10, [])


def test_crashes_count_over_all_tasks_of_a_call(box, work, ran):
    work.options(max_retries=1).defer("snooze", "die", "die", "die")
    while box.queue.tasks:
        deliver(box)
        box.clock.advance(MINUTE)

    assert len(ran) == 3
    assert "2 times" in letters(box)[0]["error"]


def test_a_replayed_call_begins_anew(box, work, ran):
    handle = work.options(max_retries=0).defer("die", "die", "")
    for _ in range(3):
        deliver(box)
    assert len(letters(box)) == 1

    StoredDeadLetters(store=box.store, queue=box.queue, clock=box.clock).replay(handle.id)

    assert handle.fetch() is not None
    assert deliver(box) is Outcome.DONE
    assert (len(ran), letters(box)) == (3, [])


# Attempts that take too long


@pytest.mark.parametrize(("timeout", "seconds"), [(None, 599), (60, 59), (1800, 1799)])
def test_an_attempt_ends_before_its_timeout_and_is_a_failure(app, box, timeout, seconds):
    @app.deferred(name="slow", timeout=timeout, max_retries=0)
    def slow():
        asked.append(limits[-1])
        raise limits[-1][1]

    @contextmanager
    def limit(seconds, error):
        limits.append((seconds, error))
        yield

    limits, asked = [], []
    box.wiring.adapters.time_limit = limit
    slow()

    assert box.drain() == [Outcome.DEAD]
    assert asked[0][0] == seconds
    assert letters(box)[0]["error"] == "TaskTimeoutError: The task has used up its timeout."
