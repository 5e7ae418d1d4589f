"""Threads and processes: background work, batches in threads, one value for each process."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
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
    """Makes something on first use, once in each process, and keeps it."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: tuple[int, T] | None = None

    def __call__(self) -> T:
        """Return this process's own."""
        made = self._made
        if made is None or made[0] != os.getpid():
            with self._lock:
                made = self._made
                if made is None or made[0] != os.getpid():
                    made = self._made = (os.getpid(), self._make())
        return made[1]


def is_stopping() -> bool:
    """Whether the server of this process was told to stop and only ends its requests.

    Cloud Run sends SIGTERM and kills the instance ten seconds later
    (https://cloud.google.com/run/docs/container-contract). Only the main thread can have a handler
    of its own for it, and there gunicorn has one: a method of its worker, which clears `alive`.
    """
    worker = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return getattr(worker, "alive", True) is False


def ahead(work: Callable[[], T]) -> Callable[[], T]:
    """Begin some work in a thread; return what waits for its result."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - spares cold starts

    pool = ThreadPoolExecutor(1, "adjourn-ahead")
    future = pool.submit(work)
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


# BatchCreateTasks takes 100 (https://cloud.google.com/tasks/docs/quotas); gRPC servers take 4 MiB
# unless told otherwise, and a single body may have a million bytes.
_ITEMS = 100
_WEIGHT = 2_500_000

_THREADS = 8


def batches(items: Iterable[T], weight: Callable[[T], int]) -> Iterator[list[T]]:
    """Yield the items in lists that are short and light enough for one request.

    If taking an item raises, those before it still come, and then the exception.
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
    """Yield the results of all groups in order while a few of them are worked on at once.

    Groups are taken as the results are, so that there may be any number of them. If taking one
    raises, the results of those before it still come, and then the exception.
    """
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - spares cold starts

    taken = iter(groups)
    running: deque[Future[Sequence[R]]] = deque()
    failure: Exception | None = None
    with ThreadPoolExecutor(_THREADS, "adjourn") as pool:
        while failure is None:
            try:
                running.append(pool.submit(work, next(taken)))
            except Exception as error:  # noqa: BLE001 - the user's; it is raised in the end
                failure = error
            while running and (len(running) >= _THREADS or failure or running[0].done()):
                yield from running.popleft().result()
    if not isinstance(failure, StopIteration):
        raise failure
