"""An event loop in a thread of its own, so that synchronous code can run servers."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")


class LoopThread:
    """Runs an event loop in a thread; use objects of the loop only through `run` and `call`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="adjourn-loop", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.run(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = 60) -> T:
        """Run a coroutine on the loop and return its result or raise its error.

        If this thread is interrupted meanwhile, as by Ctrl-C, the coroutine is cancelled and can
        put in order what it has begun.

        Raises:
            TimeoutError: It took longer than `timeout` seconds, and is cancelled.
        """
        has_ended = threading.Event()

        async def watched() -> T:
            try:
                return await work
            finally:
                has_ended.set()

        future = asyncio.run_coroutine_threadsafe(watched(), self._loop)
        try:
            return future.result(timeout)
        except BaseException:
            if future.cancel():
                has_ended.wait(timeout)
            raise

    def call(self, function: Callable[[], T]) -> T:
        """Call a plain function on the loop's thread and return what it returns."""

        async def work() -> T:
            return function()

        return self.run(work())
