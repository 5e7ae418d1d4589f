"""A task as CreateTask takes it and as the service gives it back: checks, defaults and views."""

import re
from typing import Any

import grpc
from google.cloud.tasks_v2.types import target as target_types
from google.cloud.tasks_v2.types import task as task_types
from google.protobuf import timestamp_pb2  # type: ignore[import-untyped]

from adjourn_local.names import invalid
from adjourn_local.rpc import RpcError
from adjourn_local.tasks.moment import DAY, SECOND, read, write
from adjourn_local.tasks.queue import check_retry

# Measured against the service: 1 MiB less 7 bytes, of the task as it is stored.
MAX_TASK_BYTES = 1_048_569

_MAX_URL = 2083
_MAX_HEADERS = 80 * 1024
_MAX_AHEAD = 30 * DAY
_MIN_DEADLINE = 15 * SECOND
_MAX_DEADLINE = 30 * 60 * SECOND
_DEFAULT_DEADLINE = 10 * 60 * SECOND
_MILLISECOND = 1000

_METHODS = range(
    int(target_types.HttpMethod.HTTP_METHOD_UNSPECIFIED), int(target_types.HttpMethod.OPTIONS) + 1
)
_POST = int(target_types.HttpMethod.POST)
_WITH_BODY = {
    int(target_types.HttpMethod.POST),
    int(target_types.HttpMethod.PUT),
    int(target_types.HttpMethod.PATCH),
}
_BASIC = int(task_types.Task.View.BASIC)
_FULL = int(task_types.Task.View.FULL)
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEADER_VALUE = re.compile(r"[^\x00\r\n]*")

_Task: Any = task_types.Task.pb()


def new_task(wanted: Any, name: str, now: int) -> Any:
    """Return the task that CreateTask makes of a request: checked, named and with the defaults.

    Raises:
        RpcError: INVALID_ARGUMENT for what the service refuses, UNIMPLEMENTED for what only this
            server does not do.
    """
    _check_request(wanted)
    task = _Task(name=name)
    task.http_request.CopyFrom(wanted.http_request)
    task.http_request.http_method = task.http_request.http_method or _POST
    if wanted.HasField("retry_config"):
        check_retry(wanted.retry_config)
        task.retry_config.CopyFrom(wanted.retry_config)
    write(task.create_time, now - now % SECOND)
    write(task.schedule_time, _schedule_time(wanted, now))
    write(task.dispatch_deadline, _deadline(wanted))
    if task.ByteSize() > MAX_TASK_BYTES:
        raise invalid(f"Task size too large: at most {MAX_TASK_BYTES} bytes.")
    return task


def view(task: Any, wanted: int) -> Any:
    """Return a copy of the task as a response shows it: BASIC, the default, leaves out the body."""
    result = _Task()
    result.CopyFrom(task)
    result.view = _FULL if wanted == _FULL else _BASIC
    if result.view == _BASIC:
        result.http_request.ClearField("body")
    return result


def _check_request(task: Any) -> None:
    kind = task.WhichOneof("message_type")
    if kind == "app_engine_http_request":
        raise _not_served("Task.app_engine_http_request")
    if kind is None:
        raise invalid("Task.http_request is required.")
    request = task.http_request
    if request.HasField("oauth_token"):
        raise _not_served("HttpRequest.oauth_token")
    if request.HasField("oidc_token") and not request.oidc_token.service_account_email:
        raise invalid("HttpRequest.oidcToken.serviceAccountEmail is required.")
    _check_url(request.url)
    _check_headers(request.headers)
    if request.http_method not in _METHODS:
        raise invalid("HttpRequest.httpMethod is not a known method.")
    if request.body and (request.http_method or _POST) not in _WITH_BODY:
        raise invalid("HttpRequest.body is allowed only for the methods POST, PUT and PATCH.")


def _check_url(url: str) -> None:
    if not url:
        raise invalid("HttpRequest.url is required.")
    if not url.startswith(("http://", "https://")):
        raise invalid("HttpTarget.url must start with 'http://' or 'https://'.")
    if len(url) > _MAX_URL:
        raise invalid(f"HttpRequest.url must be at most {_MAX_URL} characters.")


def _check_headers(headers: Any) -> None:
    size = 0
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise invalid(f"HttpRequest.headers: {name!r} is not a valid header.")
        size += len(name.encode()) + len(value.encode())
    if size >= _MAX_HEADERS:
        raise invalid("HttpRequest.headers must be less than 80 KB in total.")


def _schedule_time(task: Any, now: int) -> int:
    if not task.HasField("schedule_time"):
        return now
    at = read(task.schedule_time)
    if at - now > _MAX_AHEAD:
        shown = timestamp_pb2.Timestamp(seconds=at // SECOND, nanos=at % SECOND * 1000)
        raise invalid(
            f"The Task.scheduleTime, {shown.ToJsonString()}, is too far in the future. "
            "Schedule time must be no more than 720h in the future."
        )
    return max(at, now)


def _deadline(task: Any) -> int:
    if not task.HasField("dispatch_deadline"):
        return _DEFAULT_DEADLINE
    deadline = read(task.dispatch_deadline)
    if not _MIN_DEADLINE <= deadline <= _MAX_DEADLINE:
        raise invalid("Task.dispatchDeadline must be between [15s, 30m].")
    return deadline - deadline % _MILLISECOND


def _not_served(field: str) -> RpcError:
    return RpcError(grpc.StatusCode.UNIMPLEMENTED, f"{field} is not served by this local server.")
