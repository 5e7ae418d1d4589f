"""The port for Cloud Scheduler: the jobs that call the cron function."""

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple, Protocol

ENABLED, PAUSED = "ENABLED", "PAUSED"


class Job(NamedTuple):
    """A job that calls the cron function.

    Attributes:
        name: Its short name.
        cron_name: What its URL ends with.
        schedule: When it calls, with its time zone.
        state: ENABLED, PAUSED, DISABLED or UPDATE_FAILED.
        method: The HTTP method.
        account: The account whose token it carries; "" without one.
        audience: Whom the token is for.
        last_attempt: When it called last; None if it never did.
        last_status: What went wrong then, such as `UNAUTHENTICATED`; "" for nothing.
        next_start: When it calls next; None while it does not run.
    """

    name: str
    cron_name: str
    schedule: str
    state: str
    method: str
    account: str
    audience: str
    last_attempt: dt.datetime | None = None
    last_status: str = ""
    next_start: dt.datetime | None = None


class JobScheduler(Protocol):
    """Cloud Scheduler, as far as its jobs call the cron function of the deployment."""

    def list(self) -> Sequence[Job]:
        """Return the jobs, by their names.

        Raises:
            SchedulerError: Cloud Scheduler could not be reached or refused.
        """

    def get(self, name: str) -> Job | None:
        """Return a job by its short name; None if there is none that calls the cron function.

        Raises:
            SchedulerError: Cloud Scheduler could not be reached or refused.
        """

    def run(self, name: str) -> Job:
        """Let a job call now.

        Raises:
            SchedulerError: As for `list`; or there is no such job, or it is paused.
        """

    def pause(self, name: str) -> Job:
        """Let a job call no more; one that is paused already stays so.

        Raises:
            SchedulerError: As for `list`, or there is no such job.
        """

    def resume(self, name: str) -> Job:
        """Let a job that was paused call again; one that runs goes on.

        Raises:
            SchedulerError: As for `list`, or there is no such job.
        """
