"""Combine what several threads want to change in the same records into one commit.

An entity takes only some commits a second. While one thread commits, others queue up for the same
records; the next one to commit does the work of all of them.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar

W = TypeVar("W")

_MOST = 50


class _Job(Generic[W]):
    __slots__ = ("error", "is_done", "result", "woken", "work")

    def __init__(self, work: W) -> None:
        self.work = work
        self.is_done = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.woken = threading.Event()  # since it is done, or has to lead


class _Lane(Generic[W]):
    """The jobs on a subject that wait, and the one whose thread works at present."""

    __slots__ = ("jobs", "leader")

    def __init__(self) -> None:
        self.jobs: deque[_Job[W]] = deque()
        self.leader: _Job[W] | None = None


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
        lane = self._enter(subject, job)
        try:
            job.woken.wait()
            if not job.is_done:
                self._do(subject, lane)
        finally:  # also if this thread is interrupted
            self._leave(subject, lane, job)
        if job.error is not None:
            raise job.error
        return job.result

    def _enter(self, subject: Hashable, job: _Job[W]) -> _Lane[W]:
        with self._lock:
            lane = self._lanes.setdefault(subject, _Lane())
            lane.jobs.append(job)
            if lane.leader is None:
                self._let_lead(lane)
            return lane

    def _leave(self, subject: Hashable, lane: _Lane[W], job: _Job[W]) -> None:
        with self._lock:
            if job in lane.jobs:
                lane.jobs.remove(job)
            if lane.leader is not job:
                return
            lane.leader = None
            if lane.jobs:
                self._let_lead(lane)
            else:
                del self._lanes[subject]

    def _let_lead(self, lane: _Lane[W]) -> None:
        lane.leader = lane.jobs[0]
        lane.leader.woken.set()

    def _do(self, subject: Hashable, lane: _Lane[W]) -> None:
        """Do the first jobs that wait, this thread's among them."""
        with self._lock:
            jobs = [lane.jobs.popleft() for _ in range(min(_MOST, len(lane.jobs)))]
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
                job.woken.set()
