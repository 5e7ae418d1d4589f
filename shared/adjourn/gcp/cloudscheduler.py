"""Cloud Scheduler through Google's own client."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from adjourn.concurrency import PerProcess
from adjourn.errors import SchedulerError
from adjourn.gcp.channels import local_channel
from adjourn.ports.job_scheduler import ENABLED, PAUSED, Job
from adjourn.settings import Settings

if TYPE_CHECKING:
    from google.cloud.scheduler_v1 import CloudSchedulerClient

# Somebody waits for the answer; left alone, the client tries for ten minutes.
_ONCE: Any = {"retry": None, "timeout": 30.0}


class CloudSchedulerJobs:
    """The jobs of one project and region that call the deployment's cron function."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = PerProcess(self._connect)

    def list(self) -> Sequence[Job]:
        """Return the jobs, by their names."""
        with _translated():
            found = list(self._client().list_jobs(parent=self._parent, **_ONCE))
        jobs = (_job(each, self._settings.cron_url) for each in found)
        return sorted((job for job in jobs if job), key=lambda job: job.name)

    def get(self, name: str) -> Job | None:
        """Return a job, None if there is none that calls the cron function."""
        from google.api_core.exceptions import NotFound

        with _translated():
            try:
                found = self._client().get_job(name=self._full_name(name), **_ONCE)
            except NotFound:
                return None
        return _job(found, self._settings.cron_url)

    def run(self, name: str) -> Job:
        """Let a job call now."""
        return self._done(name, lambda full: self._client().run_job(name=full, **_ONCE))

    def pause(self, name: str) -> Job:
        """Let a job call no more."""
        job = self._existing(name)
        if job.state == PAUSED:
            return job
        return self._done(name, lambda full: self._client().pause_job(name=full, **_ONCE))

    def resume(self, name: str) -> Job:
        """Let a job call again."""
        job = self._existing(name)
        if job.state == ENABLED:
            return job
        return self._done(name, lambda full: self._client().resume_job(name=full, **_ONCE))

    def _existing(self, name: str) -> Job:
        job = self.get(name)
        if job is None:
            raise SchedulerError(f"There is no job {name!r} that calls the cron function.")
        return job

    def _done(self, name: str, change: Callable[[str], Any]) -> Job:
        self._existing(name)  # a job that calls somebody else is none of ours
        with _translated():
            change(self._full_name(name))
        return self._existing(name)

    @property
    def _parent(self) -> str:
        return f"projects/{self._settings.project}/locations/{self._settings.region_of_jobs()}"

    def _full_name(self, name: str) -> str:
        return f"{self._parent}/jobs/{name}"

    def _connect(self) -> CloudSchedulerClient:
        from google.cloud.scheduler_v1 import CloudSchedulerClient

        if not self._settings.scheduler_host:
            return CloudSchedulerClient()
        # The client knows no emulator variable, so the channel is made here.
        from google.cloud.scheduler_v1.services.cloud_scheduler.transports import (
            CloudSchedulerGrpcTransport,
        )

        channel = local_channel(self._settings.scheduler_host)
        return CloudSchedulerClient(transport=CloudSchedulerGrpcTransport(channel=channel))


def _job(job: Any, cron_url: str) -> Job | None:
    """Return a job in our own type, None if it does not call the cron function."""
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
        last_attempt=_time(job, "last_attempt_time"),
        last_status=_status(job.status.code),
        next_start=_time(job, "schedule_time"),
    )


def _time(job: Any, field: str) -> dt.datetime | None:
    message = type(job).pb(job)
    if not message.HasField(field):
        return None
    time: dt.datetime = getattr(message, field).ToDatetime(tzinfo=dt.UTC)
    return time


def _status(code: int) -> str:
    from google.rpc import code_pb2  # type: ignore[import-untyped]

    return "" if code == code_pb2.OK else str(code_pb2.Code.Name(code))


@contextmanager
def _translated() -> Iterator[None]:
    """Raise our own errors instead of Google's."""
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except (GoogleAPIError, GoogleAuthError) as error:
        raise SchedulerError(f"Cloud Scheduler has failed: {error}") from error
