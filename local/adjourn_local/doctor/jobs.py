"""The jobs of Cloud Scheduler that call the cron function."""

from collections.abc import Iterator, Sequence

from google.api_core.exceptions import DeadlineExceeded, RetryError, ServiceUnavailable

from adjourn.cron.jobs import Difference, differences
from adjourn.errors import SchedulerError
from adjourn.ports.job_scheduler import Job, JobScheduler
from adjourn_local.doctor.finding import (
    Deployment,
    Finding,
    fault,
    summed_up,
    unknown,
    unreachable,
)
from adjourn_local.http.reachable import why_unreachable

SUBJECT = "jobs"


def check(deployment: Deployment, scheduler: JobScheduler) -> list[Finding]:
    """Return what keeps cron names from being called."""
    settings, declared = deployment.settings, deployment.app.cron_names()
    host = settings.scheduler_host
    if reason := why_unreachable(host):
        return [unreachable(SUBJECT, "Cloud Scheduler", host, reason)]
    try:
        jobs = scheduler.list()
    except SchedulerError as error:
        if isinstance(error.__cause__, ServiceUnavailable | DeadlineExceeded | RetryError):
            return [unreachable(SUBJECT, "Cloud Scheduler", host, error.__cause__)]
        return [unknown(SUBJECT, str(error))]
    found = [
        *(_fault(each) for each in differences(jobs, declared, settings)),
        *_failing(jobs),
    ]
    return summed_up(SUBJECT, found, f"{len(jobs)} jobs call {len(declared)} cron names.")


def _fault(difference: Difference) -> Finding:
    return fault(SUBJECT, difference.text, difference.fix)


def _failing(jobs: Sequence[Job]) -> Iterator[Finding]:
    for job in jobs:
        if job.last_status:
            yield fault(
                SUBJECT,
                f"The last call of the job {job.name} failed with {job.last_status}.",
                f"mend what its log says, then: adjourn cron trigger {job.cron_name}",
            )
