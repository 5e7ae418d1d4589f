"""Work on many items in batches that are bounded by count and weight."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")
R = TypeVar("R")

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
