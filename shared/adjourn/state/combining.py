"""Combine what several threads want to change in the same records into one commit.

An entity takes only some commits a second. While one thread commits, others queue up for the same
records; the next one to commit does the work of all of them.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

W = TypeVar("W")

_MOST = 50


class _Job(Generic[W]):
    __slots__ = ("error", "is_done", "result", "work")

    def __init__(self, work: W) -> None:
        self.work = work
        self.is_done = False
        self.result: Any = None
        self.error: BaseException | None = None


class _Lane(Generic[W]):
    __slots__ = ("jobs", "lock", "users")

    def __init__(self) -> None:
        self.jobs: deque[_Job[W]] = deque()
        self.lock = threading.Lock()
        self.users = 0


class Combiner(Generic[W]):
    """Runs work on the same subject together.

    Args:
        run: Does several pieces of work on a subject at once; returns the result of each.
    """

    def __init__(self, run: Callable[[Any, Sequence[W]], Sequence[Any]]) -> None:
        self._run = run
        self._lanes: dict[Hashable, _Lane[W]] = {}
        self._lock = threading.Lock()

    def __call__(self, subject: Hashable, work: W) -> Any:
        """Do work, or wait until another thread has done it; return the result.

        Raises:
            BaseException: What `run` raised.
        """
        job = _Job(work)
        with self._lane(subject) as lane:
            lane.jobs.append(job)
            with lane.lock:
                while not job.is_done:
                    self._do(
                        subject, [lane.jobs.popleft() for _ in range(min(_MOST, len(lane.jobs)))]
                    )
        if job.error is not None:
            raise job.error
        return job.result

    def _do(self, subject: Hashable, jobs: Sequence[_Job[W]]) -> None:
        try:
            results = self._run(subject, [job.work for job in jobs])
            for job, result in zip(jobs, results, strict=True):
                job.result = result
        except BaseException as error:
            for job in jobs:
                job.error = error
            if not isinstance(error, Exception):
                raise
        finally:
            for job in jobs:
                job.is_done = True

    @contextmanager
    def _lane(self, subject: Hashable) -> Iterator[_Lane[W]]:
        with self._lock:
            lane = self._lanes.setdefault(subject, _Lane())
            lane.users += 1
        try:
            yield lane
        finally:
            with self._lock:
                lane.users -= 1
                if not lane.users:
                    self._lanes.pop(subject, None)
