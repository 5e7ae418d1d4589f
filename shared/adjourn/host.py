"""The process that we run in: whether it was told to stop, and work beside the main thread."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


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
