"""Calls made inside a transaction run if it is committed, and only then."""

import datetime as dt
from contextlib import suppress

import pytest

from adjourn import DeclarationError
from adjourn.execution.delivery import Outcome
from adjourn.state.transaction_markers import KIND, wait

SECOND = dt.timedelta(seconds=1)


@pytest.fixture
def work(app, ran):
    @app.deferred(name="work", max_retries=0)
    def work(number=0):
        ran.append(number)

    return work


def markers(box):
    return [key for key in box.store.records if key.kind == KIND]


def test_a_call_of_a_committed_transaction_runs_a_second_later(box, work, ran):
    with box.transactions.begin():
        work(1)
        assert markers(box) == []

    assert box.drain() == []
    box.clock.advance(SECOND)
    assert box.drain() == [Outcome.DONE]

    assert ran == [1]
    assert len(markers(box)) == 1


def test_a_call_of_a_transaction_that_failed_never_runs(box, work, ran, caplog):
    caplog.set_level("INFO", "adjourn")

    def fail():
        with box.transactions.begin():
            work(1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    while box.queue.tasks:
        box.clock.advance(30 * SECOND)
        assert set(box.drain()) <= {Outcome.DONE}

    assert ran == []
    assert "no commit; it is dropped" in caplog.text


def test_a_slow_commit_is_waited_for_and_spends_no_attempt(box, work, ran):
    with box.transactions.begin():
        work(1)
        for _ in range(26):
            box.clock.advance(10 * SECOND)
            box.drain()
        assert ran == []

    box.clock.advance(40 * SECOND)
    assert box.drain() == [Outcome.DONE]
    assert ran == [1]


def test_every_try_of_a_contended_transaction_has_a_fate_of_its_own(box, work, ran):
    def attempt(number):
        with box.transactions.begin():
            work(number)
            if number < 2:
                raise ConnectionError

    for number in range(3):
        with suppress(ConnectionError):
            attempt(number)

    while box.queue.tasks:
        box.clock.advance(30 * SECOND)
        box.drain()

    assert ran == [2]


def test_transactions_one_after_the_other_have_a_fate_each(box, work, ran):
    for number in range(3):
        with box.transactions.begin():
            work(number)

    box.clock.advance(SECOND)
    box.drain()

    assert sorted(ran) == [0, 1, 2]


def test_two_calls_of_one_transaction_both_run(box, work, ran):
    with box.transactions.begin():
        work(1)
        work(2)

    box.clock.advance(SECOND)
    box.drain()

    assert sorted(ran) == [1, 2]


def test_an_eta_holds_for_a_guarded_call(box, work, ran):
    with box.transactions.begin():
        handle = work.options(delay=dt.timedelta(days=7)).defer(1)

    assert handle.eta == box.clock.now() + dt.timedelta(days=7)
    box.clock.advance(dt.timedelta(days=7))
    box.drain()
    assert ran == [1]


def test_a_transaction_can_be_given_with_the_call(box, work, ran):
    with box.transactions.begin() as outer, box.transactions.begin():
        work.options(transaction=outer).defer(1)

    box.clock.advance(SECOND)
    box.drain()

    assert ran == [1]


def test_something_else_is_no_transaction(box, work):
    with pytest.raises(DeclarationError, match="is not a transaction"):
        work.options(transaction="yes").defer()

    assert box.queue.tasks == {}


def test_the_waits_grow_to_half_a_minute():
    assert [wait(n) / SECOND for n in (0, 1, 2, 3, 4, 5, 99)] == [1, 2, 4, 8, 16, 30, 30]
