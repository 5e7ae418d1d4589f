"""Cloud Tasks deletes a task after its queue's last attempt: what has not ended then goes on."""

import datetime as dt
from dataclasses import replace

import pytest

from adjourn import App, Snooze, current_task
from adjourn.errors import StoreError
from adjourn.execution.attempt import Attempt
from adjourn.execution.dead_letters import KIND, DeadLetterRecorder
from adjourn.execution.delivery import Outcome
from adjourn.testing import SETTINGS, sandbox

MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)
LAST = Attempt(retry_count=4, execution_count=4)


@pytest.fixture
def box(app):
    with sandbox(app, replace(SETTINGS, max_attempts={"": 5})) as made:
        yield made


@pytest.fixture
def work(app, ran):
    @app.deferred(name="work")
    def work(*, crashes=False):
        ran.append(current_task().attempt)
        if crashes:
            raise KeyboardInterrupt

    return work


def last(box):
    """Return the task that is due, at its last attempt."""
    (queued,) = box.queue.due()
    queued.attempt = LAST
    return queued


def letters(box):
    return [record for key, (_, record) in box.store.records.items() if key.kind == KIND]


def away(*_, **__):
    raise StoreError("away")


def test_a_claim_that_datastore_kept_from_being_made_is_made_later(box, work, ran, monkeypatch):
    work.options(once=True).defer()
    with monkeypatch.context() as patch:
        patch.setattr(box.store, "transact", away)
        assert box.deliver(last(box)) is Outcome.DONE
    assert not ran

    box.clock.advance(MINUTE)

    assert box.drain() == [Outcome.DONE]
    assert ran == [5]


def test_a_dead_letter_that_datastore_did_not_take_is_written_later(app, box, lines, monkeypatch):
    @app.deferred(name="fail", max_retries=3)
    def fail():
        raise RuntimeError("broken")

    fail()
    with monkeypatch.context() as patch:
        patch.setattr(DeadLetterRecorder, "record", away)
        assert box.deliver(last(box)) is Outcome.DONE
    assert "task.rescued" in [line["event"] for line in lines()]
    assert not letters(box)

    box.clock.advance(MINUTE)

    assert box.drain() == [Outcome.DEAD]
    assert [letter["error"] for letter in letters(box)] == ["RuntimeError: broken"]


def test_a_call_that_waits_for_the_lease_of_a_process_that_died_goes_on(box, work, ran):
    work.options(once=True).defer(crashes=True)
    (queued,) = box.queue.due()
    with pytest.raises(KeyboardInterrupt):
        box.deliver(queued)
    queued.attempt = LAST

    assert box.deliver(queued) is Outcome.DONE
    (waiting,) = box.queue.tasks.values()
    box.clock.advance(HOUR)
    with pytest.raises(KeyboardInterrupt):
        box.deliver(waiting)

    assert len(ran) == 2


def test_a_task_that_the_next_revision_may_know_goes_on(box, work, ran):
    work()
    queued = last(box)
    with sandbox(App(), replace(SETTINGS, max_attempts={"": 5})) as former:
        assert former.deliver(queued) is Outcome.DONE
        (kept,) = former.queue.tasks.values()

    assert box.deliver(kept) is Outcome.DONE
    assert ran == [5]


def test_a_task_that_nobody_knows_for_an_hour_is_a_dead_letter_all_the_same(box):
    with sandbox(App()) as other:
        other.app.deferred(name="unknown")(lambda: None)
        other.app.wiring().tasks.get("unknown")()
        (queued,) = other.queue.due()
    outcomes = [box.deliver(queued)]
    queued.attempt = LAST
    outcomes.append(box.deliver(queued))
    (kept,) = box.queue.tasks.values()

    box.clock.advance(HOUR + MINUTE)

    assert outcomes == [Outcome.UNKNOWN, Outcome.DONE]
    assert box.deliver(kept) is Outcome.DEAD
    assert len(letters(box)) == 1


def test_earlier_attempts_are_left_to_the_queue(box, work, monkeypatch):
    work.options(once=True).defer()
    (queued,) = box.queue.due()
    queued.attempt = Attempt(retry_count=3)
    monkeypatch.setattr(box.store, "transact", away)

    assert box.deliver(queued) is Outcome.TROUBLE
    assert len(box.queue.tasks) == 1


# What has put itself off


def test_a_call_of_a_committed_transaction_outlives_its_marker(app, box, ran):
    @app.deferred(name="patient")
    def patient():
        ran.append(1)
        if len(ran) == 1:
            raise Snooze(dt.timedelta(days=40))

    with box.transactions.begin() as transaction:
        patient.options(transaction=transaction).defer()
    box.clock.advance(MINUTE)
    assert box.drain() == [Outcome.DONE]
    box.store.records.clear()  # the TTL policy
    while box.queue.tasks:
        box.clock.advance(dt.timedelta(days=20))
        box.drain()

    assert len(ran) == 2


def test_a_call_without_retry_may_put_itself_off(app, box, ran):
    @app.deferred(name="early", no_retry=True)
    def early():
        ran.append(1)
        if len(ran) == 1:
            raise Snooze(MINUTE)

    early()
    assert box.drain() == [Outcome.DONE]
    box.clock.advance(MINUTE)

    assert box.drain() == [Outcome.DONE]
    assert (len(ran), letters(box)) == (2, [])
