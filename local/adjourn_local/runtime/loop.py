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
        tasks: list[asyncio.Task[T]] = []
        has_ended = threading.Event()

        def start() -> None:
            tasks.append(self._loop.create_task(work))
            tasks[0].add_done_callback(lambda _task: has_ended.set())

        def cancel() -> None:
            if tasks:
                tasks[0].cancel()
            else:  # the interruption was faster
                work.close()
                has_ended.set()

        try:
            self._loop.call_soon_threadsafe(start)
            is_in_time = has_ended.wait(timeout)
        except BaseException:
            self._loop.call_soon_threadsafe(cancel)
            has_ended.wait(timeout)
            raise
        if not is_in_time:
            self._loop.call_soon_threadsafe(cancel)
            has_ended.wait(timeout)
            raise TimeoutError(f"This took longer than {timeout} seconds: {work}")
        return tasks[0].result()

    def call(self, function: Callable[[], T]) -> T:
        """Call a plain function on the loop's thread and return what it returns."""

        async def work() -> T:
            return function()

        return self.run(work())
