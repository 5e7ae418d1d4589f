"""Work on the loop of another thread ends in order, whatever happens to who waits for it."""

import asyncio
import signal
import threading

import pytest

from adjourn_local.runtime.loop import LoopThread


def test_work_is_cancelled_and_puts_things_in_order_when_its_caller_is_interrupted():
    has_begun = threading.Event()
    said = []
    main = threading.current_thread()

    async def work():
        try:
            has_begun.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            said.append("in order")

    def press_ctrl_c():
        has_begun.wait(30)
        assert main.ident
        signal.pthread_kill(main.ident, signal.SIGINT)

    with LoopThread() as loop:
        threading.Thread(target=press_ctrl_c).start()
        with pytest.raises(KeyboardInterrupt):
            loop.run(work())
        assert said == ["in order"]
        assert loop.call(lambda: "still there") == "still there"


def test_an_error_and_a_result_reach_the_caller():
    async def fail():
        raise LookupError("gone")

    async def work():
        return 7

    with LoopThread() as loop:
        with pytest.raises(LookupError, match="gone"):
            loop.run(fail())
        assert loop.run(work()) == 7


def test_what_takes_too_long_is_cancelled():
    ended = []

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    with LoopThread() as loop:
        with pytest.raises(TimeoutError):
            loop.run(work(), timeout=0.01)
        assert loop.call(lambda: ended) == [True]
