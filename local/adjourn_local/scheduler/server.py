"""The Cloud Scheduler server: its gRPC and HTTP methods, start and stop."""

import base64
import binascii
import secrets
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import grpc
from aiohttp import web
from google.cloud.scheduler_v1.types import cloudscheduler
from google.cloud.scheduler_v1.types import job as job_types
from google.protobuf import empty_pb2, field_mask_pb2  # type: ignore[import-untyped]

from adjourn_local.http import rest, rpc
from adjourn_local.http.app_engine_services import Services, address
from adjourn_local.http.moved_urls import move
from adjourn_local.http.resource_names import check_location, invalid
from adjourn_local.http.rpc import RpcError
from adjourn_local.http.sender import Sender
from adjourn_local.scheduler.job_definition import Job, define, redefine
from adjourn_local.scheduler.job_names import split_job
from adjourn_local.scheduler.job_request import JobRequestBuilder
from adjourn_local.scheduler.job_routes import RULES
from adjourn_local.scheduler.job_runner import JobRunner
from adjourn_local.scheduler.job_store import JobEntry, JobStore
from adjourn_local.scheduler.start_times import next_tick
from adjourn_local.timing.clocks import StackClock
from adjourn_local.tokens.bearer import Mint

_State = job_types.Job.State
_ListJobsResponse: Any = cloudscheduler.ListJobsResponse.pb()

_MAX_PAGE = 500
_MAX_JOBS = 5000


class SchedulerServer:
    """A Cloud Scheduler v1 server; use it on the event loop on which it is started."""

    def __init__(
        self,
        path: Path,
        clock: StackClock,
        mint: Mint,
        sender: Sender,
        *,
        app_engine: Services = MappingProxyType({}),
        skips_overlapping: bool = False,
    ) -> None:
        """Open the state file.

        Args:
            path: The stack's state file.
            clock: The stack's clock.
            mint: Makes an identity token for an account and an audience.
            sender: Sends the requests of jobs.
            app_engine: The base URL of each App Engine service; jobs for others are refused.
            skips_overlapping: Skip a scheduled start of a job that is still running, as Google's
                guide to managing jobs says, instead of delaying it, as the reference of
                `Job.schedule` says.
        """
        self._clock = clock
        self._store = JobStore(path)
        self._services = app_engine
        requests = JobRequestBuilder(mint=mint, services=app_engine)
        self._runner = JobRunner(
            self._store, clock, requests, sender, skips_overlapping=skips_overlapping
        )

    def grpc_services(self) -> list[grpc.GenericRpcHandler]:
        """Return the gRPC service for Google's client."""
        return [rpc.service("google.cloud.scheduler.v1.CloudScheduler", self._methods())]

    def http_routes(self) -> list[web.RouteDef]:
        """Return the same methods over HTTP and JSON."""
        return rest.routes(self._methods(), RULES)

    async def start(self) -> None:
        """Begin to run jobs; starts that were missed before are skipped."""
        self._runner.start()

    def pause(self) -> None:
        """Start nothing more by schedule; attempts in flight go on."""
        self._runner.pause()

    @property
    def in_flight(self) -> int:
        """The number of attempts that wait for a response."""
        return self._runner.in_flight

    async def stop(self) -> None:
        """Stop and close the state file; a new server may open it."""
        await self._runner.stop()
        self._store.close()

    def recover(self) -> None:
        """Recompute when jobs start, after the clock was changed."""
        self._runner.recover()

    async def idle(self) -> None:
        """Wait until all due attempts have been sent and answered."""
        await self._runner.idle()

    def move(self, bases: Mapping[str, str]) -> None:
        """Change the URLs of all jobs from former base URLs to new ones, before `start`."""
        for entry in self._store.every():
            if move(entry.job.http_target, "uri", bases):
                self._store.put(entry)

    def ensure_job(
        self,
        *,
        name: str,
        schedule: str,
        time_zone: str,
        uri: str,
        service_account: str,
        audience: str,
    ) -> None:
        """Create a job that posts to `uri`, or set the target of an existing one.

        Other fields of an existing job, such as its schedule, and whether it is paused, are kept.
        It may be called before `start`.

        Raises:
            RpcError: The job is invalid.
        """
        given = Job(name=name, schedule=schedule, time_zone=time_zone)
        given.http_target.uri = uri
        given.http_target.oidc_token.service_account_email = service_account
        given.http_target.oidc_token.audience = audience
        location, _ = split_job(name)
        entry = self._store.get(name)
        if entry is None:
            self._add(location, given)
            return
        mask = field_mask_pb2.FieldMask(paths=["http_target.uri", "http_target.oidc_token"])
        updated = redefine(entry.job, given, mask)
        if updated != entry.job:
            self._store.put(JobEntry(job=updated, tick=entry.tick))

    def _methods(self) -> rpc.Methods:
        return {
            "CreateJob": (cloudscheduler.CreateJobRequest.pb(), self._create),
            "GetJob": (cloudscheduler.GetJobRequest.pb(), self._get),
            "ListJobs": (cloudscheduler.ListJobsRequest.pb(), self._list),
            "UpdateJob": (cloudscheduler.UpdateJobRequest.pb(), self._update),
            "DeleteJob": (cloudscheduler.DeleteJobRequest.pb(), self._delete),
            "PauseJob": (cloudscheduler.PauseJobRequest.pb(), self._pause),
            "ResumeJob": (cloudscheduler.ResumeJobRequest.pb(), self._resume),
            "RunJob": (cloudscheduler.RunJobRequest.pb(), self._run),
        }

    def _create(self, request: Any) -> Any:
        return self._view(self._add(request.parent, request.job))

    def _add(self, location: str, given: Any) -> JobEntry:
        check_location(location)
        given.name = given.name or f"{location}/jobs/{secrets.randbits(63)}"
        if split_job(given.name)[0] != location:
            raise invalid(f'The job name must start with the parent "{location}".')
        job = define(given)
        self._find_service(job)
        if self._store.get(job.name) is not None:
            raise RpcError(grpc.StatusCode.ALREADY_EXISTS, f"Job {job.name} already exists.")
        if self._store.count(location) >= _MAX_JOBS:
            raise RpcError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"A location of a project can have at most {_MAX_JOBS} jobs.",
            )
        job.state = _State.ENABLED
        return self._put_from_now(job)

    def _get(self, request: Any) -> Any:
        return self._view(self._entry(request.name))

    def _list(self, request: Any) -> Any:
        check_location(request.parent)
        if request.page_size < 0:
            raise invalid("The page size must not be negative.")
        size = min(request.page_size or _MAX_PAGE, _MAX_PAGE)
        after = _read_token(request.page_token, request.parent)
        entries = self._store.page(request.parent, after, size + 1)
        response = _ListJobsResponse(jobs=[self._view(entry) for entry in entries[:size]])
        if len(entries) > size:
            response.next_page_token = _token(entries[size - 1].job.name)
        return response

    def _update(self, request: Any) -> Any:
        entry = self._entry(request.job.name)
        job = redefine(entry.job, request.job, request.update_mask)
        self._find_service(job)
        self._store.forget_waiting(job.name)
        return self._view(self._put_from_now(job))

    def _delete(self, request: Any) -> Any:
        self._store.delete(self._entry(request.name).job.name)
        self._runner.run_due()
        return empty_pb2.Empty()

    def _pause(self, request: Any) -> Any:
        entry = self._entry(request.name)
        _require(entry.job, _State.ENABLED, "PauseJob")
        entry.job.state = _State.PAUSED
        self._store.forget_waiting(entry.job.name)
        return self._view(self._put(entry.job))

    def _resume(self, request: Any) -> Any:
        entry = self._entry(request.name)
        if entry.job.state == _State.ENABLED:
            # Terraform resumes each job that it has just created, and must get no error.
            return self._view(entry)
        _require(entry.job, _State.PAUSED, "ResumeJob")
        entry.job.state = _State.ENABLED
        return self._view(self._put(entry.job))

    def _run(self, request: Any) -> Any:
        entry = self._entry(request.name)
        _require(entry.job, _State.ENABLED, "RunJob")
        self._runner.run_now(entry)
        return self._view(entry)

    def _entry(self, name: str) -> JobEntry:
        split_job(name)
        entry = self._store.get(name)
        if entry is None:
            raise RpcError(grpc.StatusCode.NOT_FOUND, "Job not found.")
        return entry

    def _find_service(self, job: Any) -> None:
        """Refuse a job whose App Engine service has no configured URL."""
        if job.HasField("app_engine_http_target"):
            address(self._services, job.app_engine_http_target.app_engine_routing)

    def _put_from_now(self, job: Any) -> JobEntry:
        """Store a job that a user has just created or updated."""
        job.user_update_time.FromDatetime(self._clock.now())
        return self._put(job)

    def _put(self, job: Any) -> JobEntry:
        """Store a job whose next start counts from now."""
        tick = next_tick(job, self._clock.now()) if job.state == _State.ENABLED else None
        entry = JobEntry(job=job, tick=tick)
        self._store.put(entry)
        self._runner.run_due()
        return entry

    def _view(self, entry: JobEntry) -> Any:
        """Return the job for a response, with the time of its next start or retry."""
        upcoming = self._store.next_retry(entry.job.name) or entry.tick
        if upcoming is not None:
            entry.job.schedule_time.FromDatetime(upcoming)
        return entry.job


def _require(job: Any, state: Any, method: str) -> None:
    if job.state != state:
        raise RpcError(
            grpc.StatusCode.FAILED_PRECONDITION, f"Job.state must be {state.name} for {method}."
        )


def _token(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _read_token(token: str, location: str) -> str:
    """Return the job name after which a page begins; empty for the first page."""
    try:
        name = base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError):
        raise invalid("The page token is invalid.") from None
    if name and not name.startswith(f"{location}/jobs/"):
        raise invalid("The page token belongs to another request.")
    return name
