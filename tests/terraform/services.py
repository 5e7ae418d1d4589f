"""Queues and jobs as Google's clients make them, from Terraform's arguments and back."""

from typing import Any, Protocol

import grpc
from google.api_core.exceptions import NotFound
from google.cloud import scheduler_v1, tasks_v2
from google.cloud.scheduler_v1.services.cloud_scheduler.transports import (
    CloudSchedulerGrpcTransport,
)
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport
from google.protobuf import json_format
from google.protobuf.field_mask_pb2 import FieldMask

from tests.terraform.values import UNKNOWN, State

_RATE = ("max_concurrent_dispatches", "max_dispatches_per_second", "max_burst_size")
_QUEUE_RETRY = ("max_attempts", "max_backoff", "max_doublings", "max_retry_duration", "min_backoff")
_JOB_RETRY = (
    "retry_count",
    "max_retry_duration",
    "min_backoff_duration",
    "max_backoff_duration",
    "max_doublings",
)


class Service(Protocol):
    """One type of resource that is really made."""

    def create(self, wanted: State) -> State: ...
    def read(self, state: State) -> State | None: ...
    def update(self, state: State, wanted: State) -> State: ...
    def delete(self, state: State) -> None: ...


class Queues:
    """`google_cloud_tasks_queue` at a Cloud Tasks server; the calls are those of the provider."""

    def __init__(self, host: str) -> None:
        transport = CloudTasksGrpcTransport(channel=grpc.insecure_channel(host))
        self._client = tasks_v2.CloudTasksClient(transport=transport)

    def create(self, wanted: State) -> State:
        queue = self._message(wanted)
        made = self._client.create_queue(parent=queue.name.rpartition("/queues/")[0], queue=queue)
        if wanted["desired_state"] == "PAUSED":
            made = self._client.pause_queue(name=made.name)
        return _queue_state(made, wanted)

    def read(self, state: State) -> State | None:
        try:
            return _queue_state(self._client.get_queue(name=self._name(state)), state)
        except NotFound:
            return None

    def update(self, state: State, wanted: State) -> State:
        blocks = ("rate_limits", "retry_config", "stackdriver_logging_config")
        paths = [block for block in blocks if state[block] != wanted[block]]
        if paths:
            mask = FieldMask(paths=paths)
            self._client.update_queue(queue=self._message(wanted), update_mask=mask)
        name = self._name(wanted)
        if state["desired_state"] != wanted["desired_state"]:
            is_paused = wanted["desired_state"] == "PAUSED"
            (self._client.pause_queue if is_paused else self._client.resume_queue)(name=name)
        return _queue_state(self._client.get_queue(name=name), wanted)

    def delete(self, state: State) -> None:
        self._client.delete_queue(name=self._name(state))

    def _name(self, state: State) -> str:
        return self._client.queue_path(state["project"], state["location"], state["name"])

    def _message(self, wanted: State) -> tasks_v2.Queue:
        told: State = {"name": self._name(wanted)}
        for block in ("rate_limits", "retry_config", "stackdriver_logging_config"):
            for given in wanted[block] or []:
                told[block] = _given(given)
        return _parsed(told, tasks_v2.Queue)


class Jobs:
    """`google_cloud_scheduler_job` at a Cloud Scheduler server; the calls are the provider's."""

    def __init__(self, host: str) -> None:
        transport = CloudSchedulerGrpcTransport(channel=grpc.insecure_channel(host))
        self._client = scheduler_v1.CloudSchedulerClient(transport=transport)

    def create(self, wanted: State) -> State:
        job = self._message(wanted)
        made = self._client.create_job(parent=job.name.rpartition("/jobs/")[0], job=job)
        if wanted["paused"] is True:
            made = self._client.pause_job(name=made.name)
        return _job_state(made, wanted)

    def read(self, state: State) -> State | None:
        try:
            return _job_state(self._client.get_job(name=self._name(state)), state)
        except NotFound:
            return None

    def update(self, state: State, wanted: State) -> State:
        self._client.update_job(job=self._message(wanted))
        name = self._name(wanted)
        if state["paused"] != wanted["paused"]:
            is_paused = wanted["paused"] is True
            (self._client.pause_job if is_paused else self._client.resume_job)(name=name)
        return _job_state(self._client.get_job(name=name), wanted)

    def delete(self, state: State) -> None:
        self._client.delete_job(name=self._name(state))

    def _name(self, state: State) -> str:
        return self._client.job_path(state["project"], state["region"], state["name"])

    def _message(self, wanted: State) -> scheduler_v1.Job:
        names = ("description", "schedule", "time_zone", "attempt_deadline")
        told = {"name": self._name(wanted), **_given({name: wanted[name] for name in names})}
        for given in wanted["retry_config"] or []:
            told["retry_config"] = _given(given)
        for given in wanted["http_target"] or []:
            target = _given({name: given[name] for name in ("uri", "http_method")})
            for token in given["oidc_token"] or []:
                target["oidc_token"] = _given(token)
            told["http_target"] = target
        return _parsed(told, scheduler_v1.Job)


def _given(values: State) -> State:
    return {
        name: value
        for name, value in values.items()
        if value is not None and value is not UNKNOWN and value != []
    }


def _parsed(told: State, kind: Any) -> Any:
    return kind(json_format.ParseDict(told, kind.pb()()))


def _told(message: Any) -> State:
    """Return a message as the REST interface shows it, with Terraform's names."""
    return json_format.MessageToDict(
        type(message).pb(message),
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )


def _queue_state(queue: tasks_v2.Queue, kept: State) -> State:
    told = _told(queue)
    logging = told.get("stackdriver_logging_config", {}).get("sampling_ratio", 0)
    return kept | {
        "id": told["name"],
        "state": told["state"],
        "rate_limits": [_picked(told["rate_limits"], _RATE)],
        "retry_config": [_picked(told["retry_config"], _QUEUE_RETRY)],
        "stackdriver_logging_config": [{"sampling_ratio": logging}] if logging else [],
    }


def _job_state(job: scheduler_v1.Job, kept: State) -> State:
    told = _told(job)
    target = told["http_target"]
    token = [_picked(target["oidc_token"], ("service_account_email", "audience"))]
    shown = {"uri": target["uri"], "http_method": target["http_method"], "oidc_token": token}
    return kept | {
        "id": told["name"],
        "state": told["state"],
        "paused": told["state"] == "PAUSED",
        "description": told["description"],
        "schedule": told["schedule"],
        "time_zone": told["time_zone"],
        "attempt_deadline": told["attempt_deadline"],
        "retry_config": [_picked(told["retry_config"], _JOB_RETRY)],
        "http_target": [kept["http_target"][0] | shown],
    }


def _picked(values: State, names: tuple[str, ...]) -> State:
    return {name: values.get(name) for name in names}
