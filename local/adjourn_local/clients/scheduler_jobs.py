"""Client of Cloud Scheduler: finds the jobs that call the cron function, and what they lack."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adjourn.errors import AdjournError
from adjourn.settings import Settings


class SchedulerError(AdjournError):
    """Cloud Scheduler could not be reached or has refused a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job that calls the cron function.

    Attributes:
        name: Its short name.
        cron_name: The last part of its URL.
        schedule: Its schedule and time zone.
        state: ENABLED, PAUSED, DISABLED or UPDATE_FAILED.
        method: The HTTP method.
        account: The service account of its OIDC token; "" without one.
        audience: The audience of the token.
    """

    name: str
    cron_name: str
    schedule: str
    state: str
    method: str
    account: str
    audience: str


def find_jobs(settings: Settings, environ: Mapping[str, str]) -> list[Job]:
    """Return the jobs in the settings' region that call its cron function.

    Args:
        settings: The deployment.
        environ: `CLOUDSCHEDULER_EMULATOR_HOST` names a local server, if there is one.

    Raises:
        SchedulerError: Cloud Scheduler could not be reached or has refused the request.
    """
    from google.api_core.exceptions import GoogleAPIError  # noqa: PLC0415 - takes a while
    from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415

    parent = f"projects/{settings.project}/locations/{settings.location}"
    try:
        found = list(_client(environ).list_jobs(parent=parent, timeout=30))
    except (GoogleAPIError, GoogleAuthError) as error:
        raise SchedulerError(f"Cloud Scheduler has failed: {error}") from error
    return [job for each in found if (job := _job(each, settings.cron_url))]


def differences(jobs: Iterable[Job], declared: Iterable[str], settings: Settings) -> Iterator[str]:
    """Yield a sentence for each difference between the jobs and the declared cron names.

    Args:
        jobs: The jobs that exist.
        declared: The cron names in the code.
        settings: The deployment.
    """
    jobs, names = list(jobs), sorted(set(declared))
    called = {job.cron_name for job in jobs}
    for name in names:
        if name not in called:
            yield f"No job calls the cron name {name!r} ({settings.cron_url}/{name})."
    for job in jobs:
        if job.cron_name not in names:
            yield (
                f"The job {job.name} calls the cron name {job.cron_name!r}, which is not declared."
            )
        if job.state != "ENABLED":
            yield f"The job {job.name} does not run; its state is {job.state}."
        yield from _mistakes(job, settings)


def _mistakes(job: Job, settings: Settings) -> Iterator[str]:
    if job.method != "POST":
        yield f"The job {job.name} sends {job.method}; the function accepts only POST."
    if not job.account:
        yield f"The job {job.name} sends no OIDC token; the function refuses it."
    elif job.account not in settings.accepted_callers():
        yield f"The job {job.name} calls as {job.account}, which may not call the function."
    elif job.audience not in settings.accepted_audiences(settings.cron_url):
        yield f"The job {job.name} has the audience {job.audience!r}, which is not accepted."


def _job(job: Any, cron_url: str) -> Job | None:
    target = job.http_target
    if target.uri != cron_url and not target.uri.startswith(f"{cron_url}/"):
        return None
    return Job(
        name=job.name.rpartition("/")[2],
        cron_name=target.uri.removeprefix(cron_url).partition("?")[0].strip("/"),
        schedule=f"{job.schedule} ({job.time_zone})",
        state=job.state.name,
        method=target.http_method.name,
        account=target.oidc_token.service_account_email,
        audience=target.oidc_token.audience or target.uri,
    )


def _client(environ: Mapping[str, str]) -> Any:
    from google.cloud.scheduler_v1 import CloudSchedulerClient  # noqa: PLC0415

    host = environ.get("CLOUDSCHEDULER_EMULATOR_HOST")
    if not host:
        return CloudSchedulerClient()
    # Google's client does not read this variable, so the channel is created here.
    import grpc  # noqa: PLC0415
    from google.cloud.scheduler_v1.services.cloud_scheduler.transports import (  # noqa: PLC0415
        CloudSchedulerGrpcTransport,
    )

    channel = grpc.insecure_channel(host)
    return CloudSchedulerClient(transport=CloudSchedulerGrpcTransport(channel=channel))
