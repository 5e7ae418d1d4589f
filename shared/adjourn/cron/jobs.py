"""The jobs of Cloud Scheduler against the cron names that an application declares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from adjourn.ports.job_scheduler import ENABLED, PAUSED, Job
from adjourn.settings import Settings


class Difference(NamedTuple):
    """Something that keeps a cron name from being called, or that nobody needs.

    Attributes:
        text: What is the case, in one sentence.
        fix: The command that mends it.
    """

    text: str
    fix: str


def differences(
    jobs: Iterable[Job], declared: Iterable[str], settings: Settings
) -> Iterator[Difference]:
    """Yield each declared name that no job calls, and each job that is wrong.

    Args:
        jobs: The jobs that exist.
        declared: The cron names in the code.
        settings: The deployment.
    """
    jobs, names = list(jobs), sorted(set(declared))
    called = {job.cron_name for job in jobs}
    place = f"--location={settings.region_of_jobs()} --project={settings.project}"
    for name in names:
        if name not in called:
            text = f"No job calls the cron name {name!r} ({settings.cron_url}/{name})."
            yield Difference(text, _creation(name, place, settings))
    for job in jobs:
        if job.cron_name not in names:
            text = (
                f"The job {job.name} calls the cron name {job.cron_name!r}, which is not declared."
            )
            yield Difference(text, f"gcloud scheduler jobs delete {job.name} {place}")
        if job.state != ENABLED:
            text = f"The job {job.name} does not run; its state is {job.state}."
            update = f"gcloud scheduler jobs update http {job.name} {place}"
            yield Difference(
                text, f"adjourn cron resume {job.cron_name}" if job.state == PAUSED else update
            )
        for text, option in _refused(job, settings):
            yield Difference(text, f"gcloud scheduler jobs update http {job.name} {place} {option}")


def _creation(name: str, place: str, settings: Settings) -> str:
    return (
        f"terraform apply, or: gcloud scheduler jobs create http {name} {place}"
        f' --schedule="* * * * *" --uri={settings.cron_url}/{name} --http-method=POST'
        f" {_token(settings)}"
    )


def _token(settings: Settings) -> str:
    account = min(settings.accepted_callers())
    audience = settings.audience_of(settings.cron_url)
    return f"--oidc-service-account-email={account} --oidc-token-audience={audience}"


def _refused(job: Job, settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield why the cron function does not let a job in, and the option that changes it."""
    token = _token(settings)
    if job.method != "POST":
        text = f"The job {job.name} sends {job.method}; the function accepts only POST."
        yield text, "--http-method=POST"
    if not job.account:
        yield f"The job {job.name} sends no OIDC token; the function refuses it.", token
    elif job.account not in settings.accepted_callers():
        text = f"The job {job.name} calls as {job.account}, which may not call the function."
        yield text, token
    elif job.audience not in settings.accepted_audiences(settings.cron_url):
        text = f"The job {job.name} has the audience {job.audience!r}, which is not accepted."
        yield text, token
