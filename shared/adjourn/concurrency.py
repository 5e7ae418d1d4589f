"""Threads and processes: work in the background and in parallel, one value for each process."""

from __future__ import annotations

import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar, Token, copy_context
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")
R = TypeVar("R")


class Scoped(Generic[T]):
    """Sets a context variable on entering and resets it on leaving.

    Each delivery enters several: `contextlib.contextmanager` takes three times as long.
    """

    __slots__ = ("_token", "_value", "_variable")

    def __init__(self, variable: ContextVar[T], value: T) -> None:
        self._variable = variable
        self._value = value

    def __enter__(self) -> None:
        self._token: Token[T] = self._variable.set(self._value)

    def __exit__(self, *_: object) -> None:
        self._variable.reset(self._token)


class PerProcess(Generic[T]):
    """Makes a value on first use, once in each process, and keeps it."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: tuple[int, T] | None = None

    def __call__(self) -> T:
        """Return the value of this process."""
        made = self._made
        if made is None or made[0] != os.getpid():
            with self._lock:
                made = self._made
                if made is None or made[0] != os.getpid():
                    made = self._made = (os.getpid(), self._make())
        return made[1]


class TimeLimits:
    """Ends work that takes too long, by an exception in its thread.

    Python raises the exception when the thread runs Python code next. What waits in C code, such as
    `time.sleep` or a read from a socket, is not interrupted.

    The exception may come at any place. So whatever enters or leaves a limit holds no lock, which
    would then stay locked: who removes a limit from `watched` decides whether it was left or
    reached. A thread has one limit at a time.

    Attributes:
        watched: The limits that were neither left nor reached.
        next: When the thread that watches them wakes.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self.watched: dict[_TimeLimit, None] = {}
        self.next = math.inf
        self._sleep = threading.Lock()
        self._sleep.acquire()

    def limit(self, seconds: float, error: type[BaseException]) -> _TimeLimit:
        """Return a context manager whose block raises `error` if it takes more than some seconds.

        Args:
            seconds: Counted from now.
            error: It is made without arguments.
        """
        return _TimeLimit(self, self._now() + seconds, error)

    def wake(self) -> None:
        """Wake the thread that watches, as a limit will be reached before `next`."""
        with suppress(RuntimeError):  # it is awake already
            self._sleep.release()

    def end_reached(self) -> float:
        """Raise the exceptions of the limits that are reached; return when the next one will be."""
        import ctypes  # noqa: F401, PLC0415 - here, as the threads wait for the following

        watched, now = list(self.watched), self._now()
        for limit in watched:
            if limit.until <= now and self.watched.pop(limit, limit) is None:
                _raise_in(limit.thread, limit.error)
                limit.is_reached = True
        return min((each.until for each in watched if each.until > now), default=math.inf)

    def watch(self) -> None:
        """Raise the exceptions of limits when they are reached, for ever."""
        while True:
            self.next = math.inf  # whoever enters from here on wakes this thread
            self.next = self.end_reached()
            wait = -1 if self.next == math.inf else max(self.next - self._now(), 0)
            self._sleep.acquire(timeout=wait)


class _TimeLimit:
    """The limit of one thread's work; see `TimeLimits.limit`."""

    __slots__ = ("_limits", "error", "is_reached", "thread", "until")

    def __init__(self, limits: TimeLimits, until: float, error: type[BaseException]) -> None:
        self._limits = limits
        self.until = until
        self.error = error
        self.thread = threading.get_ident()
        self.is_reached = False

    def __enter__(self) -> None:
        limits = self._limits
        try:
            limits.watched[self] = None
            if self.until < limits.next:
                limits.wake()
        except BaseException:  # such as KeyboardInterrupt: then the block is not entered
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        try:
            del self._limits.watched[self]
        except KeyError:
            self._take_back()

    def _take_back(self) -> None:
        """Wait until the exception of this limit was raised or can be replaced, and drop it.

        CPython up to 3.12 goes on believing that an exception is pending if it is only removed. All
        threads are slower from then on; one with a profile function does not go on at all.
        """
        try:
            while not self.is_reached:
                time.sleep(0)
            while _raise_in(self.thread, _TakenBackError):
                pass
        except (self.error, _TakenBackError):
            pass


class _TakenBackError(BaseException):
    """Raised and handled in place of an exception that comes too late."""


def _raise_in(thread: int, error: type[BaseException]) -> bool:
    """Raise an exception in a thread in place of one that is pending; return whether it exists."""
    import ctypes  # noqa: PLC0415 - for what takes too long

    set_exception = ctypes.pythonapi.PyThreadState_SetAsyncExc
    return bool(set_exception(ctypes.c_ulong(thread), ctypes.py_object(error)))


def watched_limits() -> TimeLimits:
    """Return limits that a thread watches, as long as the process lives."""
    limits = TimeLimits()
    threading.Thread(target=limits.watch, name="adjourn-time", daemon=True).start()
    return limits


_limits = PerProcess(watched_limits)


def time_limit(seconds: float, error: type[BaseException]) -> AbstractContextManager[None]:
    """Return a context manager whose block raises `error` if it takes more than some seconds.

    The exception is raised when the thread runs Python code next, so a call of C code that waits is
    not interrupted.
    """
    return _limits().limit(seconds, error)


def is_stopping() -> bool:
    """Whether the server of this process was told to stop and only finishes its requests.

    Cloud Run sends SIGTERM and kills the instance ten seconds later
    (https://cloud.google.com/run/docs/container-contract). A method handles it, of gunicorn's
    worker, which clears its `alive`, or of uvicorn's server, which sets its `should_exit`.
    """
    import signal  # noqa: PLC0415 - spares cold starts without a server

    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    is_ending = getattr(server, "should_exit", False) is True
    return is_ending or getattr(server, "alive", True) is False


def ahead(work: Callable[[], T]) -> Callable[[], T]:
    """Begin work in a thread; return a function that waits for its result."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - spares cold starts

    pool = ThreadPoolExecutor(1, "adjourn-ahead")
    future = pool.submit(copy_context().run, work)
    pool.shutdown(wait=False)
    return future.result


@contextmanager
def repeating(seconds: float, work: Callable[[], object]) -> Iterator[None]:
    """Call `work` every so many seconds in a thread, and wait for it to end on leaving.

    It has the context of the caller. It must not raise.
    """
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(seconds):
            work()

    context = copy_context()
    thread = threading.Thread(target=context.run, args=(repeat,), name="adjourn-beat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


# BatchCreateTasks takes 100 tasks (https://cloud.google.com/tasks/docs/quotas). gRPC servers take
# 4 MiB by default, and a single body may have a million bytes.
_ITEMS = 100
_WEIGHT = 2_500_000

_THREADS = 8


def batches(items: Iterable[T], weight: Callable[[T], int]) -> Iterator[list[T]]:
    """Yield the items in lists that are small enough for one request.

    If taking an item raises, the items before it are yielded first; then the exception is raised.
    """
    batch: list[T] = []
    load = 0
    try:
        for item in items:
            if batch and (len(batch) == _ITEMS or load + weight(item) > _WEIGHT):
                yield batch
                batch, load = [], 0
            batch.append(item)
            load += weight(item)
    except Exception:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def in_threads(
    work: Callable[[Sequence[T]], Sequence[R]], groups: Iterable[Sequence[T]]
) -> Iterator[R]:
    """Yield the results of all groups, in order; up to eight groups are worked on in parallel.

    Each is worked on in the context of the caller: user, trace, current task, fields of log lines.
    Groups are taken as the results are, so that there may be any number of them. If taking one
    raises, the results of those before it are yielded first; then the exception is raised.
    """
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - spares cold starts

    taken = iter(groups)
    running: deque[Future[Sequence[R]]] = deque()
    failure: Exception | None = None
    with ThreadPoolExecutor(_THREADS, "adjourn") as pool:
        while failure is None:
            try:
                running.append(pool.submit(copy_context().run, work, next(taken)))
            except Exception as error:  # noqa: BLE001 - whatever the items raise; it is raised in the end
                failure = error
            while running and (len(running) >= _THREADS or failure or running[0].done()):
                yield from running.popleft().result()
    if not isinstance(failure, StopIteration):
        raise failure


def in_parallel(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Return the results of work for each item, in order; up to eight are worked on in parallel."""
    if not items:
        return []
    return list(in_threads(lambda group: [work(each) for each in group], ([i] for i in items)))


def in_background(work: Callable[[T], object], items: Iterable[T]) -> list[threading.Thread]:
    """Return a thread for each item, to be started; none of them keeps the process from ending."""
    return [threading.Thread(target=work, args=(each,), daemon=True) for each in items]
