"""Threads and event loops: threads wait for coroutines, and loops do not wait for calls."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractContextManager
from contextvars import ContextVar, copy_context
from itertools import islice
from types import AsyncGeneratorType, GeneratorType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from adjourn.concurrency import PerProcess, Scoped

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from concurrent.futures import Future, ThreadPoolExecutor

T = TypeVar("T")

_GRACE = 1.0  # seconds in which a coroutine that is cancelled may clean up
_THREADS = 32
_AT_ONCE = 100  # as many as one request enqueues
_LOOK = 1.0  # seconds after which a thread looks whether the loop that it waits for is still there

# What a function returns that has not run yet.
NOT_RUN = (Awaitable, GeneratorType, AsyncGeneratorType)

_serving: ContextVar[AbstractEventLoop | None] = ContextVar("adjourn_loop", default=None)


class LoopEndedError(KeyboardInterrupt):
    """The event loop of a server has ended, and with it a coroutine that was still running.

    No code has failed: the server stops, and what it has not done is delivered to the next one.
    """


def on_loop(loop: AbstractEventLoop) -> Scoped[AbstractEventLoop | None]:
    """Let coroutines run on the loop of a server, in a `with` block of another thread."""
    return Scoped(_serving, loop)


class CoroutineRunner:
    """Runs coroutines for threads, on the loop that `on_loop` names or on one of its own."""

    def __init__(self) -> None:
        self._loop = PerProcess(_loop_in_thread)

    def result(
        self,
        coroutine: Awaitable[T],
        seconds: float | None,
        error: type[BaseException],
    ) -> T:
        """Return the result of a coroutine, which runs in the context of the caller.

        What takes too long is cancelled a second before its time is up, so that it can clean up. If
        it goes on all the same, it is not waited for.

        Args:
            coroutine: The coroutine, or anything else that can be awaited.
            seconds: How long it may take; None for as long as it likes.
            error: What is raised then, unless the coroutine itself raises something else.

        Raises:
            RuntimeError: The caller itself is on the loop, and would wait for ever.
            LoopEndedError: The loop has ended.
            BaseException: What the coroutine raised.
        """
        import asyncio  # noqa: PLC0415 - for those who write async def

        loop = _serving.get() or self._loop()
        if is_on_loop() and asyncio.get_running_loop() is loop:
            _close(coroutine)
            raise RuntimeError("A loop cannot wait for what it runs itself; await it.")
        limit = None if seconds is None else max(seconds - _GRACE, 0)
        future = _begun(_carried_out(coroutine, limit, error), loop)
        if future is None:
            _close(coroutine)
            raise LoopEndedError
        try:
            result, failure = _waited(future, loop, seconds)
        except TimeoutError:
            future.cancel()
            raise error from None
        except BaseException:  # such as KeyboardInterrupt in this thread
            future.cancel()
            raise
        if failure is not None:
            raise failure
        return cast("T", result)


def _close(coroutine: Awaitable[Any]) -> None:
    """Keep Python from telling that a coroutine was never awaited."""
    getattr(coroutine, "close", bool)()


def _begun(work: Coroutine[Any, Any, T], loop: AbstractEventLoop) -> Future[T] | None:
    """Begin work on a loop; None if the loop is closed."""
    import asyncio  # noqa: PLC0415 - as above

    try:
        return asyncio.run_coroutine_threadsafe(work, loop)
    except RuntimeError:
        work.close()
        return None


def _waited(future: Future[T], loop: AbstractEventLoop, seconds: float | None) -> T:
    """Return the result of a future.

    Raises:
        TimeoutError: The time is up.
        LoopEndedError: The loop has ended.
    """
    from concurrent.futures import CancelledError  # noqa: PLC0415 - as above

    end = None if seconds is None else time.monotonic() + seconds
    while True:
        left = _LOOK if end is None else end - time.monotonic()
        try:
            return future.result(max(0, min(left, _LOOK)))
        except CancelledError:  # before it has begun
            raise LoopEndedError from None
        except TimeoutError:
            if loop.is_closed():
                raise LoopEndedError from None
            if left <= _LOOK and end is not None:
                raise


async def _carried_out(
    coroutine: Awaitable[T], seconds: float | None, error: type[BaseException]
) -> tuple[Any, BaseException | None]:
    """Return the result of a coroutine, or what it raised: SystemExit would end the loop."""
    import asyncio  # noqa: PLC0415 - as above

    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await coroutine, None
    except BaseException as failure:  # noqa: BLE001 - it is raised where the result is waited for
        is_cancelled = isinstance(failure, asyncio.CancelledError)
        if is_cancelled and not limit.expired() and _is_ending():
            return None, LoopEndedError()
        if not (limit.expired() and (is_cancelled or isinstance(failure, TimeoutError))):
            return None, failure
        raised = error()
        raised.__cause__ = failure  # it tells where the coroutine was
        return None, raised


def _is_ending() -> bool:
    """Whether all tasks of a server were cancelled, as `asyncio.run` does in the end."""
    import asyncio  # noqa: PLC0415 - as above

    return _serving.get() is not None and all(task.cancelling() for task in asyncio.all_tasks())


_runner = PerProcess(CoroutineRunner)


def finished(
    result: Any, seconds: float | None = None, error: type[BaseException] = TimeoutError
) -> Any:
    """Return what a function has returned; if that is a coroutine, its result once it has run.

    Raises:
        TypeError: It is a generator, so that the function has not run.
        BaseException: What `CoroutineRunner.result` raises.
    """
    if isinstance(result, Awaitable):
        return _runner().result(result, seconds, error)
    if isinstance(result, GeneratorType | AsyncGeneratorType):
        raise TypeError(
            f"The generator {result.__qualname__:.200} was returned, of which nothing has run: run"
            " it to its end, or write no yield."
        )
    return result


async def within(context: AbstractContextManager[object], coroutine: Awaitable[T]) -> T:
    """Return the result of a coroutine that runs in a context."""
    with context:
        return await coroutine


def _loop_in_thread() -> AbstractEventLoop:
    import asyncio  # noqa: PLC0415 - as above

    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="adjourn-coroutines", daemon=True).start()
    return loop


# From a loop to threads


def is_on_loop() -> bool:
    """Whether this thread runs an event loop now; whoever has not imported asyncio runs none."""
    running = getattr(sys.modules.get("asyncio"), "_get_running_loop", None)
    return running is not None and running() is not None


def _pool() -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - spares cold starts

    return ThreadPoolExecutor(_THREADS, "adjourn-calls")


_threads = PerProcess(_pool)


async def off_loop(work: Callable[[], T]) -> T:
    """Do work that waits in a thread, in the context of the caller, and return its result.

    If the caller is cancelled meanwhile, the work goes on.
    """
    import asyncio  # noqa: PLC0415 - as above

    def run() -> T:
        try:
            return work()
        except StopIteration as error:  # which Python 3.11 lets no future raise: none would end
            raise RuntimeError("StopIteration was raised.") from error

    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_threads(), copy_context().run, run)


async def pause(seconds: float) -> None:
    """Wait for some seconds on the event loop."""
    import asyncio  # noqa: PLC0415 - as above

    await asyncio.sleep(seconds)


async def each_off_loop(make: Callable[[], Iterator[T]]) -> AsyncIterator[T]:
    """Yield the items of an iterator that waits, which is made and run in threads.

    If the caller is cancelled while items are made, these are still made, but no others.
    """
    iterator = await off_loop(make)
    making = threading.Lock()

    def some() -> list[T]:
        with making:
            return list(islice(iterator, _AT_ONCE))

    def close() -> None:
        with making:
            getattr(iterator, "close", bool)()

    try:
        while items := await off_loop(some):
            for item in items:
                yield item
    finally:
        if making.locked():
            _threads().submit(copy_context().run, close)
        else:
            await off_loop(close)
