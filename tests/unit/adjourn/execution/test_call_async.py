"""Tasks that are `async def` run to their end, in their context and within their time."""

import asyncio
import datetime as dt

import pytest

import adjourn
from adjourn import current_task
from adjourn.coroutines import LoopEndedError, finished
from adjourn.execution.delivery import Outcome


@pytest.fixture
def steps(app, ran):
    @app.deferred(name="steps", max_retries=1)
    async def steps(word):
        await asyncio.sleep(0)
        ran.append((word, current_task().attempt, current_task().task))

    return steps


def test_it_runs(steps, box, ran):
    steps("a")

    assert box.drain() == [Outcome.DONE]
    assert ran == [("a", 1, "steps")]


def test_its_calls_have_its_context(app, box, ran):
    users = iter(["ann", None])
    app._declared.propagator.user = lambda: next(users)

    @app.deferred(name="second")
    def second():
        ran.append(current_task().user)

    @app.deferred(name="first")
    async def first():
        await second.adefer()

    first()

    assert box.drain() == [Outcome.DONE] * 2
    assert ran == ["ann"]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ValueError("x"), Outcome.FAILED),
        (SystemExit(3), Outcome.FAILED),
        (asyncio.CancelledError(), Outcome.FAILED),
        (adjourn.PermanentTaskFailure("x"), Outcome.DEAD),
        (adjourn.Discard("x"), Outcome.DONE),
    ],
)
def test_what_it_raises_counts_as_in_a_plain_task(app, box, error, outcome):
    @app.deferred(name="failing")
    async def failing():
        await asyncio.sleep(0)
        raise error

    failing()

    assert box.drain()[0] is outcome


def test_it_is_cancelled_when_its_time_is_up(app, box, ran, monkeypatch):
    monkeypatch.setattr("adjourn.coroutines._GRACE", 10)
    box.wiring.adapters.finished = lambda result, _, error: finished(result, 10, error)

    @app.deferred(name="slow", max_retries=0)
    async def slow():
        try:
            await asyncio.Event().wait()
        finally:
            ran.append("cleaned up")

    slow()

    assert box.drain() == [Outcome.DEAD]
    assert ran == ["cleaned up"]
    assert "TaskTimeoutError" in box.dead_letters()[0].error


def test_the_time_is_that_of_the_attempt(app, box):
    asked = []
    box.wiring.adapters.finished = lambda result, seconds, _: (
        asked.append(seconds) or finished(result)
    )

    @app.deferred(name="quick", timeout=20)
    async def quick(): ...

    quick()

    assert box.drain() == [Outcome.DONE]
    assert asked == [19.0]


def test_hooks_of_dead_letters_may_be_async(app, box, ran):
    @app.on_dead
    async def mourn(letter):
        await asyncio.sleep(0)
        ran.append(letter.task)

    async def own(letter):
        await asyncio.sleep(0)
        ran.append(f"own {letter.task}")

    @app.deferred(name="failing", max_retries=0, on_dead=own)
    async def failing():
        raise ValueError

    failing()

    assert box.drain() == [Outcome.DEAD]
    assert ran == ["own failing", "failing"]


def test_periodic_and_startup_tasks_may_be_async(app, box, ran):
    @app.periodic(interval=dt.timedelta(hours=1), name="tick")
    async def tick():
        await asyncio.sleep(0)
        ran.append("tick")

    @app.startup_task(name="begin")
    async def begin():
        await asyncio.sleep(0)
        ran.append("begin")

    app.run_startup_tasks(wait=True)
    box.tick()
    box.drain()

    assert sorted(ran) == ["begin", "tick"]


def test_methods_may_be_async_and_run_what_they_override(app, box, ran):
    class Base:
        @app.deferred(name="base.sell")
        async def sell(self, what):
            await asyncio.sleep(0)
            ran.append(f"base {what}")

    class Branch(Base):
        @app.deferred(name="branch.sell")
        async def sell(self, what):
            await super().sell.call_local(what)
            with pytest.raises(
                adjourn.DeclarationError, match=r"await super\(\)\.sell\.call_local"
            ):
                super().sell(what)
            ran.append(f"branch {what}")

    branch = Branch()
    app.add_object("branch", branch)
    branch.sell("tea")

    assert box.drain() == [Outcome.DONE]
    assert ran == ["base tea", "branch tea"]


def test_a_function_of_which_nothing_has_run_has_failed(app, box):
    def wrapped(function):
        return lambda: function()  # noqa: PLW0108 - as a decorator does that hides what it wraps

    @app.deferred(name="lazy")
    @wrapped
    def lazy():
        yield

    lazy()

    assert box.drain()[0] is Outcome.FAILED


def test_what_it_raises_when_it_is_cancelled_counts(app, box, monkeypatch):
    monkeypatch.setattr("adjourn.coroutines._GRACE", 10)
    box.wiring.adapters.finished = lambda result, _, error: finished(result, 10, error)

    @app.deferred(name="slow", max_retries=0)
    async def slow():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise adjourn.Discard("in vain") from None

    slow()

    assert box.drain() == [Outcome.DONE]


def test_a_call_that_the_server_left_behind_has_not_failed(app, box, ran):
    @app.on_dead
    def mourn(letter):
        ran.append(letter)

    @app.deferred(name="left", max_retries=0)
    async def left(): ...

    def end(coroutine, *_):
        coroutine.close()
        raise LoopEndedError

    box.wiring.adapters.finished = end
    left()

    with pytest.raises(LoopEndedError):
        box.drain()
    assert (ran, box.dead_letters()) == ([], [])
