"""The helpers with which users test what their application enqueues."""

import contextvars
import datetime as dt
import threading
from typing import Any
from unittest.mock import ANY
from zoneinfo import ZoneInfo

import pytest

import adjourn
from adjourn import App, QueryIter
from adjourn.errors import EncodeError, UnknownNameError
from adjourn.execution.delivery import Outcome
from adjourn.testing import FakeClock, MemoryQuery, Sandbox, fake, inline, sandbox

HOUR = dt.timedelta(hours=1)
START = FakeClock().now()


class SmtpError(Exception):
    pass


class Shop:
    """An application, and what it has done."""

    def __init__(self) -> None:
        self.app = App()
        self.done: list[Any] = []

        @self.app.deferred(name="receipt")
        def receipt(order: str, *, resend: bool = False) -> None:
            self.done.append((order, resend))

        @self.app.deferred(name="place", queue="orders")
        def place(order: str) -> None:
            receipt(order)
            self.done.append(f"placed {order}")

        @self.app.deferred(name="mail", max_retries=2)
        def mail(fails: int) -> None:
            self.done.append(adjourn.current_task().attempt)
            if adjourn.current_task().attempt <= fails:
                raise SmtpError("no route")

        @self.app.periodic(interval=HOUR, name="sweep")
        def sweep() -> None:
            self.done.append("swept")

        done = self.done

        @self.app.query_iter(name="visit")
        class Visit(QueryIter[Any]):
            def handle_entry(self, entry: Any, custom_data: Any) -> None:
                if entry == custom_data:
                    raise SmtpError(entry)
                done.append(entry)

        self.receipt, self.place, self.mail, self.sweep = receipt, place, mail, sweep
        self.visit = Visit


modules = App()


class Module:
    one: "Module"
    two: "Module"

    @modules.deferred
    def sync(self, key: str) -> None:
        pass

    @modules.deferred
    @classmethod
    def build(cls, size: int) -> None:
        pass


Module.one, Module.two = Module(), Module()
modules.add_object("one", Module.one)
modules.add_object("two", Module.two)


@pytest.fixture
def shop():
    return Shop()


@pytest.fixture
def faked(shop):
    with fake(shop.app) as box:
        yield box


@pytest.fixture
def at_once(shop):
    with inline(shop.app) as box:
        yield box


def refused(box: Sandbox, task: Any, *args: Any, **kwargs: Any) -> str:
    """Return what is said of a call that was not enqueued."""
    with pytest.raises(AssertionError) as caught:
        box.assert_enqueued(task, *args, **kwargs)
    return str(caught.value)


class TestFake:
    def test_calls_are_recorded_and_do_not_run(self, shop, faked):
        shop.receipt("A-1")

        assert shop.done == []
        assert faked.assert_enqueued(shop.receipt, "A-1").args == ("A-1",)

    def test_what_ran_or_ran_again_is_still_on_record_once(self, shop, faked):
        shop.place("A-1")
        faked.drain()

        assert [call.task for call in faked.enqueued()] == ["place", "receipt"]
        assert [call.args for call in faked.enqueued(shop.receipt)] == [("A-1",)]

    def test_a_call_that_was_put_back_is_one_call(self, shop, faked):
        @shop.app.deferred(name="later")
        def later():
            raise adjourn.Snooze(60)

        later()
        faked.drain()

        assert len(faked.enqueued(later)) == 1

    def test_a_cancelled_call_is_not_enqueued(self, shop, faked):
        shop.receipt("A-1").cancel()

        assert faked.enqueued() == []
        assert "nor was anything else" in refused(faked, shop.receipt, "A-1")

    def test_what_a_task_raises_is_raised_where_it_is_drained(self, shop, faked):
        shop.mail(1)

        with pytest.raises(SmtpError, match="no route"):
            faked.drain()

        assert faked.drain() == [Outcome.DONE]
        assert shop.done == [1, 2]

    def test_what_makes_a_dead_letter_is_raised_too(self, shop, faked):
        shop.mail(9)
        assert faked.dead_letters() == []
        for _ in range(3):
            with pytest.raises(SmtpError):
                faked.drain()

        (letter,) = faked.dead_letters()
        assert (letter.task, letter.attempts, letter.error) == ("mail", 3, "SmtpError: no route")

    def test_what_steers_a_task_is_not_raised(self, shop, faked):
        @shop.app.deferred(name="steered")
        def steered(how):
            raise {"discard": adjourn.Discard(), "retry": adjourn.RetryLater(1)}[how]

        steered("discard")
        steered("retry")

        assert faked.drain() == [Outcome.DONE, Outcome.DONE]

    def test_what_an_entity_makes_fail_is_raised(self, shop, faked):
        faked.queries.add("House", "a", "b")
        shop.visit.start(MemoryQuery("House"), "b")

        with pytest.raises(SmtpError, match="b"):
            faked.drain()

    def test_a_delivery_that_does_not_get_to_the_task_fails_the_test(self, shop, faked):
        shop.receipt("A-1")
        shop.app._declared.tasks.remove("receipt")

        with pytest.raises(AssertionError, match=r"receipt ended as UNKNOWN: No task is named"):
            faked.drain()

    def test_a_tick_under_a_wrong_name_fails_the_test(self, faked):
        with pytest.raises(AssertionError, match=r"'nightly' ended as UNKNOWN: .*there are:"):
            faked.tick("nightly")

    def test_a_sandbox_tells_outcomes_instead(self, shop):
        with sandbox(shop.app) as box:
            shop.mail(1)

            assert box.drain() == [Outcome.FAILED]
            assert box.tick("nightly") is Outcome.UNKNOWN

    def test_a_tick_enqueues_and_a_drain_runs(self, shop, faked):
        faked.tick()
        assert shop.done == []

        faked.drain()

        faked.assert_enqueued(shop.sweep)
        assert shop.done == ["swept"]

    def test_a_task_that_fails_keeps_no_other_from_running(self, shop, faked):
        shop.mail(1)
        shop.receipt("A-1")
        with pytest.raises(SmtpError):
            faked.drain()

        assert faked.drain() == [Outcome.DONE, Outcome.DONE]

        assert shop.done == [1, ("A-1", False), 2]

    def test_a_task_that_fails_and_was_cancelled_meanwhile_stays_so(self, shop, faked):
        @shop.app.deferred(name="cancelled")
        def cancelled():
            handles[0].cancel()
            raise SmtpError("no route")

        handles = [cancelled()]
        with pytest.raises(SmtpError):
            faked.drain()

        assert faked.drain() == []

    def test_a_naive_time_to_begin_with_and_what_is_no_application_are_refused(self, shop):
        with (
            pytest.raises(ValueError, match=r"now=.* must be an aware datetime; add a time zone"),
            fake(shop.app, now=dt.datetime(2026, 3, 1)),  # noqa: DTZ001 - that is the mistake
        ):
            pass
        with pytest.raises(TypeError, match=r"'shop:app' is not an adjourn\.App"), fake("shop:app"):
            pass

    def test_hours_pass_also_where_clocks_are_changed(self, shop):
        berlin = ZoneInfo("Europe/Berlin")
        with fake(shop.app, now=dt.datetime(2026, 3, 29, 1, 30, tzinfo=berlin)) as box:
            before = box.clock.now()
            box.travel(by=HOUR)
            assert (before, box.clock.now().hour) == (
                dt.datetime(2026, 3, 29, 0, 30, tzinfo=dt.UTC),
                1,
            )

            box.travel(to=dt.datetime(2026, 3, 29, 4, 30, tzinfo=berlin))
            assert box.clock.now() - before == 2 * HOUR

    def test_calls_are_still_told_when_the_sandbox_has_ended(self, shop):
        with fake(shop.app) as box:
            shop.receipt("A-1")

        box.assert_enqueued(shop.receipt, "A-1")
        assert len(box.enqueued()) == 1

    @pytest.mark.parametrize(
        "work",
        [
            lambda box: box.drain(),
            lambda box: box.tick(),
            lambda box: box.ask("ann@example.com"),
            lambda box: box.deliver(*box.queue.due()),
        ],
        ids=["drain", "tick", "ask", "deliver"],
    )
    def test_a_sandbox_that_is_not_at_work_says_so(self, shop, work):
        with fake(shop.app) as outer:
            shop.receipt("A-1")
            with inline(shop.app) as inner:
                shop.receipt("A-2")

                with pytest.raises(RuntimeError, match="another sandbox of the application"):
                    work(outer)

            assert [call.args for call in inner.enqueued()] == [("A-2",)]
            assert [call.args for call in outer.enqueued()] == [("A-1",)]
            outer.drain()
            shop.receipt("A-3")
        with pytest.raises(RuntimeError, match="its `with` block has ended"):
            work(outer)

        assert shop.done == [("A-2", False), ("A-1", False)]

    def test_the_clock_begins_where_it_is_told(self, shop):
        noon = dt.datetime(2020, 2, 29, 12, tzinfo=dt.UTC)
        with fake(shop.app, now=noon) as box:
            shop.receipt.options(delay=1).defer("A-1")

            assert box.assert_enqueued(shop.receipt, ...).eta == noon + dt.timedelta(seconds=1)


class TestAssertEnqueued:
    def test_arguments_may_be_given_by_position_name_or_default(self, shop, faked):
        shop.receipt(order="A-1", resend=False)

        faked.assert_enqueued(shop.receipt, "A-1")
        assert "was not enqueued" in refused(faked, shop.receipt, "A-1", resend=True)

    def test_any_arguments_and_any_one_can_be_asked_for(self, shop, faked):
        shop.receipt("A-1", resend=True)

        faked.assert_enqueued(shop.receipt, ...)
        faked.assert_enqueued(shop.receipt, ANY, resend=True)
        assert "place(...) was not enqueued" in refused(faked, shop.place, ...)

    def test_the_last_of_several_is_returned(self, shop, faked):
        shop.receipt("A-1")
        shop.receipt.options(queue="slow").defer("A-1")

        assert faked.assert_enqueued(shop.receipt, "A-1").queue == "slow"
        assert faked.assert_enqueued(shop.receipt.options(queue="default"), "A-1").eta is None

    @pytest.mark.parametrize(
        "options",
        [
            {"queue": "slow"},
            {"delay": 60},
            {"eta": START + HOUR},
            {"call_name": "one"},
            {"expires": 60},
            {"timeout": 60},
            {"max_retries": 1},
            {"min_backoff": 1},
            {"max_backoff": 1},
            {"once": True},
            {"no_retry": True},
        ],
    )
    def test_options_have_to_be_those_of_the_call(self, shop, faked, options):
        shop.receipt("A-1")
        told = refused(faked, shop.receipt.options(**options), "A-1")
        assert next(iter(options)) in told

        shop.receipt.options(**options).defer("A-1")

        faked.assert_enqueued(shop.receipt.options(**options), "A-1")
        faked.assert_enqueued(shop.receipt, "A-1")
        refused(faked, shop.receipt.options(queue="other"), "A-1")

    def test_a_declared_option_counts_if_any_are_given(self, shop, faked):
        shop.place.options(queue="slow").defer("A-1")

        refused(faked, shop.place.options(queue="orders"), "A-1")

    def test_a_delay_counts_from_the_call(self, shop, faked):
        shop.receipt.options(delay=HOUR).defer("A-1")
        faked.travel(by=HOUR)

        faked.assert_enqueued(shop.receipt.options(delay=HOUR), "A-1")

    def test_a_failure_shows_what_was_enqueued_nearest_first(self, shop, faked):
        shop.place("A-2")
        shop.receipt("B-9", resend=True)
        shop.receipt.options(delay=60).defer("A-2")

        assert refused(faked, shop.receipt, "A-1").splitlines() == [
            "receipt('A-1') was not enqueued. These were, nearest first:",
            "  receipt('A-2') with queue='default', eta=2026-01-01 00:01:00+00:00",
            "  receipt('B-9', resend=True) with queue='default'",
            "  place('A-2') with queue='orders'",
        ]

    def test_the_nearest_call_is_the_one_with_most_of_the_arguments(self, shop, faked):
        shop.receipt("A-2")
        shop.receipt("a much longer one", resend=True)

        lines = refused(faked, shop.receipt, "A-1", resend=True).splitlines()

        assert lines[1].startswith("  receipt('a much longer one', resend=True)")
        assert lines[2].startswith("  receipt('A-2')")

    def test_a_failure_tells_the_options_that_were_otherwise(self, shop, faked):
        shop.receipt("A-1")

        assert refused(faked, shop.receipt.options(queue="slow"), "A-1").splitlines() == [
            "receipt('A-1') with queue='slow' was not enqueued. These were, nearest first:",
            "  receipt('A-1') with queue='default' instead of queue='slow'",
        ]

    def test_a_failure_is_not_longer_than_a_screen(self, shop, faked):
        for n in range(12):
            shop.receipt(f"B-{n}" + "x" * 9999)

        lines = refused(faked, shop.receipt, "A").splitlines()

        assert len(lines) == 12
        assert lines[-1] == "  and 2 more"
        assert max(map(len, lines)) < 400

    def test_methods_are_found_by_what_they_were_called_on(self):
        with fake(modules) as box:
            Module.one.sync("A-1")
            Module.build(3)

            box.assert_enqueued(Module.one.sync, "A-1")
            box.assert_enqueued(Module.one.sync, key="A-1")
            box.assert_enqueued(Module.build, 3)
            told = refused(box, Module.two.sync, "A-1")
            assert "sync(<two>, 'A-1') was not enqueued" in told
            assert "sync(<one>, 'A-1') with" in told

    def test_whatever_arguments_are_those_of_a_call_on_the_same_object(self):
        with fake(modules) as box:
            Module.one.sync("A-1")

            box.assert_enqueued(Module.one.sync, ...)
            assert box.enqueued(Module.two.sync) == []
            assert "sync(<two>, ...) was not enqueued" in refused(box, Module.two.sync, ...)

    def test_arguments_that_the_function_does_not_take_are_a_mistake(self, faked, shop):
        with pytest.raises(TypeError, match=r"^receipt: missing a required argument: 'order'"):
            faked.assert_enqueued(shop.receipt)

    def test_calls_of_a_task_with_options_are_those_that_were_made_with_them(self, shop, faked):
        shop.receipt("A-1")
        shop.receipt.options(queue="slow").defer("A-2")

        assert [call.args for call in faked.enqueued(shop.receipt)] == [("A-1",), ("A-2",)]
        slow = shop.receipt.options(queue="slow")
        assert [call.args for call in faked.enqueued(slow)] == [("A-2",)]

    def test_that_there_is_none_cannot_be_said_of_what_is_no_task(self, faked, shop):
        with pytest.raises(TypeError, match="is not a task"):
            faked.enqueued(shop.visit)

    def test_a_function_that_is_no_task_is_a_mistake(self, faked):
        with pytest.raises(TypeError, match=r"is not a task; give what @app\.deferred or"):
            faked.assert_enqueued(len, ...)

    def test_a_task_of_another_application_is_a_mistake(self, faked):
        other = App()

        @other.deferred(name="else")
        def other_task():
            pass

        with pytest.raises(UnknownNameError, match="'else'"):
            faked.assert_enqueued(other_task)

    def test_a_call_that_is_too_big_for_a_task_is_found(self, faked, shop):
        order = "A" * 3_000_000
        shop.receipt(order)

        assert faked.assert_enqueued(shop.receipt, order).args == (order,)


class TestInline:
    def test_a_call_runs_before_it_returns(self, shop, at_once):
        shop.receipt("A-1")

        assert shop.done == [("A-1", False)]
        at_once.assert_enqueued(shop.receipt, "A-1")

    @pytest.mark.usefixtures("at_once")
    def test_what_a_task_enqueues_runs_after_it(self, shop):
        shop.place("A-1")

        assert shop.done == ["placed A-1", ("A-1", False)]

    @pytest.mark.usefixtures("at_once")
    def test_arguments_are_encoded_and_decoded(self, shop):
        with pytest.raises(EncodeError):
            shop.receipt(object())

        order = ["A-1"]
        shop.receipt(order)
        order.append("A-2")

        assert shop.done == [(["A-1"], False)]

    @pytest.mark.usefixtures("at_once")
    def test_a_task_sees_none_of_the_callers_context(self, shop):
        variable = contextvars.ContextVar("variable", default="nobody")

        @shop.app.deferred(name="who")
        def who():
            shop.done.append(variable.get())

        variable.set("caller")
        who()

        assert shop.done == ["nobody"]

    def test_what_it_raises_is_raised_at_the_call_and_it_is_tried_again_later(self, shop, at_once):
        with pytest.raises(SmtpError):
            shop.mail(1)
        shop.receipt("A-1")
        assert shop.done == [1, ("A-1", False)]

        at_once.travel(by=1)

        assert shop.done == [1, ("A-1", False), 2]

    def test_waits_between_retries_grow_and_are_those_of_the_call(self, shop, at_once):
        with pytest.raises(SmtpError):
            shop.mail.options(min_backoff=10, max_backoff=15).defer(2)
        (queued,) = at_once.queue.tasks.values()
        assert queued.due == START + dt.timedelta(seconds=10)

        with pytest.raises(SmtpError):
            at_once.travel(by=10)

        assert queued.due == START + dt.timedelta(seconds=25)

    def test_what_is_not_due_waits_until_travel_gets_there(self, shop, at_once):
        @shop.app.deferred(name="every_hour")
        def every_hour():
            shop.done.append(at_once.clock.now())
            every_hour.options(delay=HOUR).defer()

        every_hour.options(delay=HOUR).defer()
        assert shop.done == []

        at_once.travel(by=2.5 * HOUR)

        assert shop.done == [START + HOUR, START + 2 * HOUR]
        assert at_once.clock.now() == START + 2.5 * HOUR

    def test_an_iteration_is_over_when_start_returns(self, shop, at_once):
        at_once.queries.add("House", *range(10))

        run = shop.visit.start(MemoryQuery("House"), shards=2)

        assert run.fetch().status == "finished"
        assert sorted(shop.done) == list(range(10))

    def test_a_tick_runs_what_is_due(self, shop, at_once):
        at_once.tick()
        at_once.travel(by=HOUR)
        at_once.tick()

        assert shop.done == ["swept", "swept"]

    def test_many_calls_at_once_run_once_each(self, shop, at_once):
        orders = [f"A-{n}" for n in range(250)]

        handles = list(shop.receipt.map(orders))

        assert all(handle.is_new for handle in handles)
        assert sorted(order for order, _ in shop.done) == sorted(orders)
        assert not at_once.queue.tasks

    @pytest.mark.usefixtures("at_once")
    def test_calls_of_several_threads_run_once_each(self, shop):
        def call(first):
            for n in range(first, first + 100):
                shop.receipt(n)

        threads = [threading.Thread(target=call, args=(100 * n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(order for order, _ in shop.done) == list(range(800))

    @pytest.mark.usefixtures("at_once")
    def test_tasks_that_make_tasks_for_ever_are_noticed(self, shop):
        @shop.app.deferred(name="again")
        def again():
            again()

        with pytest.raises(
            AssertionError,
            match=r"After 1000 deliveries there is still again due, .* drain\(limit=10000\)",
        ):
            again()


class TestTravel:
    def test_the_clock_moves_to_a_time_or_by_a_duration(self, faked):
        faked.travel(to=START + HOUR)
        faked.travel(by=90)
        faked.travel(by=HOUR)

        assert faked.clock.now() == START + 2 * HOUR + dt.timedelta(seconds=90)

    @pytest.mark.parametrize(
        "wrong",
        [
            {},
            {"to": START, "by": 1},
            {"to": START.replace(tzinfo=None)},
            {"to": START - HOUR},
            {"by": -1},
        ],
    )
    def test_what_is_no_time_ahead_is_refused(self, faked, wrong):
        with pytest.raises(
            ValueError, match=r"Give either|must be an aware datetime|do not go back"
        ):
            faked.travel(**wrong)

        assert faked.clock.now() == START

    def test_what_waits_in_a_fake_waits_for_the_drain(self, shop, faked):
        shop.receipt.options(delay=HOUR).defer("A-1")

        faked.travel(by=HOUR)
        assert shop.done == []
        faked.drain()

        assert shop.done == [("A-1", False)]
