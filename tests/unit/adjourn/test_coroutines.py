"""Threads wait for coroutines, in their context and for a limited time; loops wait for no call."""

import asyncio
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context

import pytest

from adjourn.concurrency import Scoped
from adjourn.coroutines import (
    LoopEndedError,
    each_off_loop,
    finished,
    is_on_loop,
    off_loop,
    on_loop,
    within,
)

WHO = ContextVar("who", default="nobody")


class TooLong(BaseException):
    """Raised where time is up."""


async def answer(value):
    await asyncio.sleep(0)
    return value


async def forever(ended):
    try:
        await asyncio.Event().wait()
    finally:
        ended.append("cleaned up")


async def failing(error):
    await asyncio.sleep(0)
    raise error


@pytest.fixture
def grace(monkeypatch):
    """Give coroutines ten seconds to clean up, which is enough on any machine."""
    monkeypatch.setattr("adjourn.coroutines._GRACE", 10)
    return 10


def test_a_plain_result_stays_as_it_is():
    assert finished(5) == 5


def test_a_thread_has_the_result_of_a_coroutine():
    assert finished(answer(5)) == 5


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), asyncio.CancelledError()])
def test_what_a_coroutine_raises_reaches_the_thread_and_leaves_the_loop_alone(error):
    with pytest.raises(type(error)) as caught:
        finished(failing(error))

    assert caught.value is error
    assert "in failing" in "".join(traceback.format_exception(caught.value))
    assert finished(answer(1)) == 1


def test_what_takes_too_long_is_cancelled_and_may_clean_up(grace):
    ended = []

    with pytest.raises(TooLong) as caught:
        finished(forever(ended), grace, TooLong)

    assert ended == ["cleaned up"]
    assert "in forever" in "".join(traceback.format_exception(caught.value))


def test_it_is_cancelled_early_enough_to_clean_up_in_its_time(grace):
    async def slow():
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            await asyncio.Event().wait()
        finally:
            times.append(loop.time() - began)

    times, seconds = [], grace + 0.05
    with pytest.raises(TooLong):
        finished(slow(), seconds, TooLong)

    assert times[0] < seconds


@pytest.mark.parametrize(("raised", "seen"), [(LookupError, LookupError), (TimeoutError, TooLong)])
def test_what_it_raises_when_it_is_cancelled_stands(raised, seen, grace):
    async def tidied_up():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise raised from None

    with pytest.raises(seen):
        finished(tidied_up(), grace, TooLong)


class Awaitable:
    """Something to be awaited that is no coroutine, such as libraries return."""

    def __await__(self):
        return answer(5).__await__()


def test_whatever_can_be_awaited_is():
    assert finished(Awaitable()) == 5


async def async_numbers():
    yield 1


@pytest.mark.parametrize("generator", [(n for n in range(3)), async_numbers()])
def test_a_generator_has_not_run(generator):
    with pytest.raises(TypeError, match=r"generator .* was returned, of which nothing has run"):
        finished(generator)


def test_what_goes_on_all_the_same_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("adjourn.coroutines._GRACE", 0.01)
    may_end = asyncio.Event()

    async def stubborn():
        while not may_end.is_set():
            try:
                await may_end.wait()
            except asyncio.CancelledError:
                continue

    async def end():
        may_end.set()

    with pytest.raises(TooLong):
        finished(stubborn(), 0.02, TooLong)
    finished(end())


def test_an_own_timeout_of_the_coroutine_is_its_own():
    async def own():
        async with asyncio.timeout(0):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        finished(own(), 60, TooLong)


def test_each_coroutine_has_the_context_of_its_thread():
    all_there = threading.Barrier(4)
    loops = []

    async def who():
        loops.append(asyncio.get_running_loop())
        await asyncio.to_thread(all_there.wait, 10)
        return WHO.get()

    def ask(name):
        WHO.set(name)
        return finished(who())

    names = [f"n{i}" for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(lambda name: copy_context().run(ask, name), names)] == names

    assert len(set(loops)) == 1


def test_a_server_has_the_coroutines_on_its_own_loop():
    async def here():
        return asyncio.get_running_loop()

    async def main():
        loop = asyncio.get_running_loop()

        def work():
            with on_loop(loop):
                return finished(here())

        return await asyncio.to_thread(work) is loop

    assert asyncio.run(main())


def test_a_loop_does_not_wait_for_itself():
    async def main():
        with on_loop(asyncio.get_running_loop()):
            finished(answer(1))

    with pytest.raises(RuntimeError, match="await it"):
        asyncio.run(main())


def test_a_coroutine_runs_within_a_context():
    async def who():
        await asyncio.sleep(0)
        return WHO.get()

    assert finished(within(Scoped(WHO, "somebody"), who())) == "somebody"


def test_work_off_the_loop_has_the_context_of_its_caller():
    def work():
        return WHO.get(), threading.current_thread() is threading.main_thread(), is_on_loop()

    async def main():
        WHO.set("somebody")
        return await off_loop(work), is_on_loop()

    assert asyncio.run(main()) == (("somebody", False, False), True)
    assert not is_on_loop()


def test_work_off_the_loop_ends_whatever_it_raises():
    async def main():
        async with asyncio.timeout(10):
            await off_loop(lambda: next(iter([])))

    with pytest.raises(RuntimeError, match="StopIteration"):
        asyncio.run(main())


def test_items_come_while_more_are_made():
    taken = []

    def numbers():
        for number in range(1000):
            taken.append(number)
            yield number

    async def main():
        async for item in each_off_loop(numbers):
            if item == 150:
                return len(taken)
        return None

    assert asyncio.run(main()) < 1000


def test_an_iterator_that_fails_has_given_its_items_before():
    def numbers():
        yield from range(100)
        raise ValueError

    seen = []

    async def main():
        async for item in each_off_loop(numbers):
            seen.append(item)  # noqa: PERF401 - they are wanted although it fails

    with pytest.raises(ValueError, match=r"^$"):
        asyncio.run(main())
    assert seen == [*range(100)]


def test_whoever_is_cancelled_while_items_are_made_is_cancelled_at_once():
    goes_on, closed = threading.Event(), threading.Event()

    async def main():
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def numbers():
            try:
                yield from range(100)
                loop.call_soon_threadsafe(task.cancel)
                goes_on.wait(10)
                yield 100
            finally:
                closed.set()

        async for _ in each_off_loop(numbers):
            pass

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    assert not closed.is_set()

    goes_on.set()
    assert closed.wait(10)


def served(loop, make):
    """Return what a thread of a server comes to that waits for a coroutine."""
    with on_loop(loop):
        try:
            return finished(make())
        except BaseException as error:  # noqa: BLE001 - it is what is asked for
            return error


def on_ending_loop(make, begun):
    """Return what a thread comes to whose server's loop ends once the coroutine has begun."""
    with ThreadPoolExecutor(1) as pool:

        async def main():
            future = pool.submit(served, asyncio.get_running_loop(), make)
            await begun.wait()
            return future

        return asyncio.run(main()).result(10)


def test_a_coroutine_that_a_server_leaves_behind_has_not_failed():
    begun = asyncio.Event()

    async def slow():
        begun.set()
        await asyncio.Event().wait()

    assert isinstance(on_ending_loop(slow, begun), LoopEndedError)


def test_a_coroutine_that_ends_in_time_is_done():
    begun = asyncio.Event()

    async def quick():
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return 5

    assert on_ending_loop(quick, begun) == 5


def test_a_closed_loop_runs_nothing():
    loop = asyncio.new_event_loop()
    loop.close()

    assert isinstance(served(loop, lambda: answer(1)), LoopEndedError)


def test_a_loop_that_is_gone_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("adjourn.coroutines._LOOK", 0.01)
    loop, begun = asyncio.new_event_loop(), asyncio.Event()

    async def slow():
        begun.set()
        await asyncio.Event().wait()

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(served, loop, slow)
        loop.run_until_complete(begun.wait())
        loop.close()

        assert isinstance(future.result(10), LoopEndedError)


@pytest.mark.parametrize("is_served", [False, True])
def test_a_coroutine_that_cancels_itself_has_failed(is_served):
    async def rash():
        asyncio.current_task().cancel()
        await asyncio.Event().wait()

    async def main():
        return await asyncio.to_thread(served, asyncio.get_running_loop(), rash)

    if is_served:
        assert isinstance(asyncio.run(main()), asyncio.CancelledError)
    else:
        with pytest.raises(asyncio.CancelledError):
            finished(rash())
