"""The sandbox in which users test their application behaves as the services do."""

import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest

from adjourn import QueryIter
from adjourn.clock import SystemClock
from adjourn.errors import DeclarationError
from adjourn.execution.attempt import Attempt
from adjourn.execution.delivery import Outcome
from adjourn.ports import RecordKey
from adjourn.testing import FakeClock, MemoryQuery, MemoryStore, sandbox
from tests.unit import shop

HOUR = dt.timedelta(hours=1)


@pytest.fixture(autouse=True)
def _empty():
    shop.sent.clear()
    shop.handled.clear()


def test_a_users_test_reads_like_this():
    with sandbox(shop.app) as box:
        shop.send_receipt("A-1")
        assert box.drain() == [Outcome.DONE]

    assert shop.sent == ["A-1"]


def test_an_iteration_is_carried_out_to_its_end():
    with sandbox(shop.app) as box:
        box.queries.add("Order", "a", "b")
        run = shop.Reprice.start(MemoryQuery("Order"))
        box.drain()

        assert run.fetch().has_ended

    assert shop.handled == ["a", "b"]


def test_draining_stops_at_a_failure_which_stays_queued():
    with sandbox(shop.app) as box:
        shop.fail("broken")

        assert box.drain() == [Outcome.FAILED]

        (queued,) = box.queue.due()
        assert queued.attempt == Attempt(retry_count=1, execution_count=1)
        assert box.drain() == [Outcome.DEAD]


def test_trouble_of_the_platform_is_no_execution(monkeypatch):
    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr("adjourn.execution.runner.Envelope.decode", fail)
    with sandbox(shop.app) as box:
        shop.send_receipt("A-1")

        assert box.drain() == [Outcome.TROUBLE]

        assert box.queue.due()[0].attempt == Attempt(retry_count=1, execution_count=0)


def test_tasks_that_make_tasks_for_ever_are_noticed(app):
    @app.deferred(name="again")
    def again():
        again()

    with sandbox(app) as box:
        again()

        with pytest.raises(AssertionError, match="After 10 deliveries there is still again due"):
            box.drain(limit=10)


def test_what_is_not_due_waits():
    with sandbox(shop.app) as box:
        shop.send_receipt.options(delay=HOUR).defer("A-1")
        assert box.drain() == []

        box.clock.advance(HOUR)

        assert box.drain() == [Outcome.DONE]


def test_the_sandbox_leaves_nothing_behind():
    with sandbox(shop.app) as box:
        box.tick("hourly")

    with sandbox(shop.app) as box:
        assert not box.store.records
        assert not box.queue.tasks


def test_a_clock_stands_still_until_it_is_moved():
    clock = FakeClock()
    before, measured = clock.now(), clock.monotonic()
    assert clock.now() == before

    clock.advance(HOUR)

    assert clock.now() - before == HOUR
    assert clock.monotonic() - measured == 3600


def test_what_a_transaction_was_given_is_kept_as_it_was():
    store, record = MemoryStore(), {"n": 1}
    store.put(RecordKey("Run", "a"), record)

    record["n"] = 2

    assert store.get([RecordKey("Run", "a")]) == [{"n": 1}]


def test_a_transaction_counts_in_its_own_thread_and_in_no_task(app, box):
    seen = []

    @app.deferred(name="look")
    def look():
        seen.append(box.transactions.current())

    look()
    with box.transactions.begin() as outer:
        thread = threading.Thread(target=look.call_local)
        thread.start()
        thread.join()
        box.drain()
        with box.transactions.begin() as inner:
            look.call_local()
        look.call_local()
    look.call_local()

    assert [each is None for each in seen] == [True, True, False, False, True]
    assert (seen[2], seen[3]) == (inner, outer)


def test_a_call_in_a_transaction_runs_a_second_after_it(app, box):
    ran = []

    @app.deferred(name="work")
    def work(n):
        ran.append(n)

    def order(n):
        with box.transactions.begin():
            work(n)
            if n == 2:
                raise LookupError

    order(1)
    with pytest.raises(LookupError):
        order(2)

    for _ in range(40):
        box.travel(by=10)
        box.drain()

    assert ran == [1]
    assert not box.queue.tasks


@pytest.mark.usefixtures("box")
def test_what_is_no_transaction_of_a_sandbox_is_refused(app):
    work = app.deferred(name="work")(lambda: None)

    with pytest.raises(DeclarationError, match="is not a transaction of this sandbox"):
        work.options(transaction=object()).defer()


def test_the_machines_clock_is_aware_and_never_goes_backwards():
    clock = SystemClock()

    assert clock.now().utcoffset() == dt.timedelta()
    assert clock.monotonic() <= clock.monotonic()


def test_the_hook_that_users_have_to_write_does_nothing_by_itself():
    with pytest.raises(NotImplementedError):
        QueryIter().handle_entry(None, None)


def test_a_transaction_stays_with_its_thread_whatever_context_that_passes_on(box):
    with box.transactions.begin() as transaction:
        assert box.transactions.current() is transaction
        with ThreadPoolExecutor() as pool:
            elsewhere = pool.submit(copy_context().run, box.transactions.current).result()

    assert elsewhere is None
