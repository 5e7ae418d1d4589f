"""Cloud Scheduler in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from adjourn.errors import SchedulerError
from adjourn.ports.job_scheduler import ENABLED, PAUSED, Job


class MemoryJobs:
    """The jobs that call the cron function, in memory; nothing calls by itself.

    Args:
        jobs: Those that there are.

    Attributes:
        ran: The names of those that were run, in order.
    """

    def __init__(self, jobs: Iterable[Job] = ()) -> None:
        self._jobs = {job.name: job for job in jobs}
        self.ran: list[str] = []

    def list(self) -> Sequence[Job]:
        """Return the jobs, by their names."""
        return sorted(self._jobs.values(), key=lambda job: job.name)

    def get(self, name: str) -> Job | None:
        """Return a job, None if there is none."""
        return self._jobs.get(name)

    def run(self, name: str) -> Job:
        """Note that a job was to call now."""
        job = self._existing(name)
        if job.state != ENABLED:
            raise SchedulerError(f"The job {name} is {job.state}.")
        self.ran.append(name)
        return job

    def pause(self, name: str) -> Job:
        """Pause a job."""
        return self._put(name, PAUSED)

    def resume(self, name: str) -> Job:
        """Let a job call again."""
        return self._put(name, ENABLED)

    def _put(self, name: str, state: str) -> Job:
        self._jobs[name] = self._existing(name)._replace(state=state)
        return self._jobs[name]

    def _existing(self, name: str) -> Job:
        if name not in self._jobs:
            raise SchedulerError(f"There is no job {name!r} that calls the cron function.")
        return self._jobs[name]
