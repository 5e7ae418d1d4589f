"""App Engine targets: checks, defaults and headers."""

from typing import Any

from adjourn_local.http.app_engine_services import ADDRESS, USER_AGENT, set_host
from adjourn_local.http.resource_names import invalid
from adjourn_local.http.sender import Outgoing, replace_headers
from adjourn_local.tasks.limits import MAX_URL, POST, PUT, check_headers, check_method, method_name
from adjourn_local.tasks.task_names import short
from adjourn_local.tasks.task_record import TaskRecord

_NAME = "AppEngineHttpRequest"
_DEFAULT_TYPE = "application/octet-stream"


def check(request: Any) -> None:
    """Refuse an invalid AppEngineHttpRequest.

    Raises:
        RpcError: INVALID_ARGUMENT.
    """
    uri = request.relative_uri
    if uri and (not uri.startswith("/") or " " in uri):
        raise invalid(f'{_NAME}.relativeUri must begin with "/" and must not contain spaces.')
    if len(uri) > MAX_URL:
        raise invalid(f"{_NAME}.relativeUri must be at most {MAX_URL} characters.")
    check_method(_NAME, request.http_method)
    if request.body and (request.http_method or POST) not in (POST, PUT):
        raise invalid(f"{_NAME}.body is allowed only for the methods POST and PUT.")
    check_headers(_NAME, request.headers.items())


def complete(request: Any, project: str) -> None:
    """Set the fields that the service sets in an accepted request (measured).

    Args:
        request: The message, which is changed.
        project: The queue's project, to whose App Engine application the task is sent.
    """
    request.http_method = request.http_method or POST
    request.relative_uri = request.relative_uri or "/"
    set_host(request.app_engine_routing, project)
    given = {name.lower(): name for name in request.headers}
    agent = request.headers[given["user-agent"]] if "user-agent" in given else ""
    for name in ("user-agent", "content-length"):
        if name in given:
            del request.headers[given[name]]
    request.headers["User-Agent"] = f"{agent} {USER_AGENT}".strip()
    if request.body:
        if "content-type" not in given:
            request.headers["Content-Type"] = _DEFAULT_TYPE
        request.headers["Content-Length"] = str(len(request.body))


def outgoing(record: TaskRecord, due: str, base: str) -> Outgoing:
    """Return the request of a task's current attempt, which its dispatch count includes."""
    request = record.task.app_engine_http_request
    agent = request.headers["User-Agent"]
    return Outgoing(
        method=method_name(request.http_method),
        url=base + request.relative_uri,
        headers=replace_headers(request.headers, _headers(record, due, agent)),
        body=request.body,
    )


def _headers(record: TaskRecord, due: str, agent: str) -> list[tuple[str, str]]:
    """Return the headers that the service sets, as measured.

    Every response counts as an execution here; without a response, the previous status is 0.
    """
    retries = record.task.dispatch_count - 1
    headers = [
        ("User-Agent", agent),
        ADDRESS,
        ("X-AppEngine-QueueName", short(record.queue)),
        ("X-AppEngine-TaskName", record.task_id),
        ("X-AppEngine-TaskRetryCount", str(retries)),
        ("X-AppEngine-TaskExecutionCount", str(record.task.response_count)),
        ("X-AppEngine-TaskETA", due),
    ]
    if retries:
        reason = "App Error" if record.previous else "Instance Unavailable"
        headers.append(("X-AppEngine-TaskPreviousResponse", str(record.previous)))
        headers.append(("X-AppEngine-TaskRetryReason", reason))
    return headers
