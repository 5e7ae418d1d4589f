"""Cloud Tasks v2beta3 and v2beta2, which older clients call: the same queues and tasks as of v2.

Each version is served from the next newer one: fields that have another name there are renamed in
requests and responses. Pull queues and `queue.yaml`, which v2 does not have, are refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import grpc
from google.protobuf.json_format import (  # type: ignore[import-untyped]
    MessageToDict,
    ParseDict,
)

from adjourn_local.http import rpc
from adjourn_local.http.rpc import RpcError

Fields = dict[str, Any]

_METHODS = (
    *("ListQueues", "GetQueue", "CreateQueue", "UpdateQueue", "DeleteQueue"),
    *("PurgeQueue", "PauseQueue", "ResumeQueue"),
    *("ListTasks", "GetTask", "CreateTask", "DeleteTask", "RunTask"),
)
_SHARED = ("GetIamPolicy", "SetIamPolicy", "TestIamPermissions")
_ONLY_PUSH = "Pull queues are not served by this local server; Cloud Tasks v2 does not have them."


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """How a version differs from the next newer one.

    Attributes:
        package: The package of its message classes, which is imported on first use.
        queue: The path of each field of a queue that has another one in the newer version.
        task: The same of a task.
        refused: Fields of queues and tasks that there is no way to serve.
        pull: Its methods for pull queues.
    """

    package: str
    queue: Mapping[str, str]
    task: Mapping[str, str] = field(default_factory=dict)
    refused: tuple[str, ...] = ("pull_target", "pull_message")
    pull: tuple[str, ...] = ()

    def message(self, name: str) -> Any:
        """Return a message class; None if the version has none of that name."""
        found = getattr(import_module(self.package), name, None)
        return found and found.pb()

    def request(self, method: str) -> rpc.MessageOnUse:
        """Return the message class of the requests of a method."""
        return rpc.MessageOnUse(lambda: self.message(f"{method}Request"))


V2BETA3 = Version(
    package="google.cloud.tasks_v2beta3",
    queue={"app_engine_http_queue.app_engine_routing_override": "app_engine_routing_override"},
)
V2BETA2 = Version(
    package="google.cloud.tasks_v2beta2",
    queue={
        "app_engine_http_target.app_engine_routing_override": (
            "app_engine_http_queue.app_engine_routing_override"
        ),
        "rate_limits.max_tasks_dispatched_per_second": "rate_limits.max_dispatches_per_second",
        "rate_limits.max_concurrent_tasks": "rate_limits.max_concurrent_dispatches",
    },
    task={
        "app_engine_http_request.relative_url": "app_engine_http_request.relative_uri",
        "app_engine_http_request.payload": "app_engine_http_request.body",
        "status.attempt_dispatch_count": "dispatch_count",
        "status.attempt_response_count": "response_count",
        "status.first_attempt_status": "first_attempt",
        "status.last_attempt_status": "last_attempt",
    },
    pull=("LeaseTasks", "AcknowledgeTask", "RenewLease", "CancelLease"),
)


def methods(version: Version, newer: rpc.Methods) -> rpc.Methods:
    """Return the methods of a version, which call those of the newer one."""
    served = {name: (version.request(name), _served(version, *newer[name])) for name in _METHODS}
    shared = {name: newer[name] for name in _SHARED}
    refused = {name: (version.request(name), _refuse_pull) for name in version.pull}
    return {**served, **shared, **refused}


def _served(version: Version, kind: Any, handler: rpc.Handler) -> rpc.Handler:
    async def serve(request: Any) -> Any:
        wanted = ParseDict(_newer(version, _fields(request)), kind(), ignore_unknown_fields=True)
        found = await rpc.call(type(request).__name__, handler, wanted)
        answer = version.message(type(found).__name__)
        if answer is None:
            return found
        content = _older(version, _fields(found))
        return ParseDict(content, answer(), ignore_unknown_fields=True)

    return serve


def _refuse_pull(_request: Any) -> Any:
    raise RpcError(grpc.StatusCode.UNIMPLEMENTED, _ONLY_PUSH)


def _fields(message: Any) -> Fields:
    fields: Fields = MessageToDict(message, preserving_proto_field_name=True)
    return fields


def _newer(version: Version, request: Fields) -> Fields:
    """Return a request with the names of the newer version."""
    for name, paths in (("queue", version.queue), ("task", version.task)):
        part = request.get(name)
        if isinstance(part, dict):
            _refuse_unserved(version, part)
            request[name] = _with_limit(_renamed(part, paths))
    for mask in ("update_mask", "read_mask"):
        if mask in request:
            request[mask] = _masked(request[mask], version.queue)
    return request


def _older(version: Version, answer: Fields) -> Fields:
    """Return a response, or a queue or task, with the names of this version."""
    both = {new: old for paths in (version.queue, version.task) for old, new in paths.items()}
    for name in ("queues", "tasks"):
        if name in answer:
            answer[name] = [_renamed(each, both) for each in answer[name]]
            return {**answer, name: [_without_limit(version, each) for each in answer[name]]}
    return _without_limit(version, _renamed(answer, both))


def _refuse_unserved(version: Version, part: Fields) -> None:
    if any(name in part for name in version.refused):
        raise RpcError(grpc.StatusCode.UNIMPLEMENTED, _ONLY_PUSH)


def _with_limit(part: Fields) -> Fields:
    """Say "unlimited attempts" (v2beta2) as the newer versions do."""
    retry = part.get("retry_config", {})
    if retry.pop("unlimited_attempts", False):
        retry["max_attempts"] = -1
    return part


def _without_limit(version: Version, part: Fields) -> Fields:
    """Say "unlimited attempts" as v2beta2 does."""
    retry = part.get("retry_config", {})
    if version is V2BETA2 and retry.get("max_attempts") == -1:
        del retry["max_attempts"]
        retry["unlimited_attempts"] = True
    return part


def _renamed(fields: Fields, paths: Mapping[str, str]) -> Fields:
    """Move fields to other paths; a path has one or two names."""
    for old, new in paths.items():
        holder, name = _place(fields, old)
        if name in holder:
            value = holder.pop(name)
            target, new_name = _place(fields, new, make=True)
            target[new_name] = value
    return fields


def _place(fields: Fields, path: str, *, make: bool = False) -> tuple[Fields, str]:
    outer, _, inner = path.rpartition(".")
    if not outer:
        return fields, inner
    return fields.setdefault(outer, {}) if make else fields.get(outer, {}), inner


def _masked(mask: str, paths: Mapping[str, str]) -> str:
    """Return a field mask, as JSON has it, with other names.

    A name of the outer message alone stands for the inner one that it holds.
    """
    by_camel = {_camel(old): _camel(new) for old, new in paths.items()}
    outer: dict[str, str] = {}
    for old, new in by_camel.items():
        if old.partition(".")[0] != new.partition(".")[0]:
            outer[old.partition(".")[0]] = new.partition(".")[0]
    return ",".join(by_camel.get(one, outer.get(one, one)) for one in mask.split(","))


def _camel(path: str) -> str:
    head, *rest = path.split("_")
    return head + "".join(part.capitalize() for part in rest)
