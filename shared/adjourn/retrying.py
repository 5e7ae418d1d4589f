"""Repeat work that failed for a passing reason: the only retry loop of the library."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def retry(
    work: Callable[[], T],
    *,
    pauses: Iterable[float],
    is_transient: Callable[[Exception], bool],
    sleep: Callable[[float], object] = time.sleep,
    on_retry: Callable[[Exception], object] = lambda _: None,
) -> T:
    """Return the result of work, which is repeated after each pause while its error is transient.

    Args:
        work: The work, which is done at least once.
        pauses: Seconds before each repetition; taken one by one, so a generator can end them early.
        is_transient: Whether a repetition may succeed after this error.
        sleep: Waits for some seconds.
        on_retry: Receives each error after which the work is repeated.

    Raises:
        Exception: What the last attempt raised, or what is not transient.
    """
    waits = iter(pauses)
    while True:
        try:
            return work()
        except Exception as error:
            wait = next(waits, None) if is_transient(error) else None
            if wait is None:
                raise
            on_retry(error)
        sleep(wait)


def doubling(first: float, longest: float = math.inf) -> Iterator[float]:
    """Yield seconds that double from `first` up to `longest`, without end."""
    seconds = first
    while True:
        yield min(seconds, longest)
        seconds = min(2 * seconds, longest)
