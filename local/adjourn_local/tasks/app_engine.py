"""App Engine targets: their own defaults and headers."""

from typing import Any

from adjourn_local.http.app_engine import ADDRESS, USER_AGENT, set_host
from adjourn_local.http.resource_names import invalid
from adjourn_local.http.sender import Outgoing, replace_headers
from adjourn_local.tasks.limits import MAX_URL, POST, PUT, check_headers, check_method, method_name
from adjourn_local.tasks.names import short
from adjourn_local.tasks.record import Record

_NAME = "AppEngineHttpRequest"
_DEFAULT_TYPE = "application/octet-stream"


def check(request: Any) -> None:
    """Refuse an AppEngineHttpRequest that can never be sent.

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
    """Set what the service sets in a checked request and shows from then on (measured).

    Args:
        request: The message, which is changed.
        project: The project of the queue, whose application the task is for.
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


def outgoing(record: Record, due: str, base: str) -> Outgoing:
    """Return the request of a task's current attempt, which its dispatch count includes already."""
    request = record.task.app_engine_http_request
    agent = request.headers["User-Agent"]
    return Outgoing(
        method=method_name(request.http_method),
        url=base + request.relative_uri,
        headers=replace_headers(request.headers, _headers(record, due, agent)),
        body=request.body,
    )


def _headers(record: Record, due: str, agent: str) -> list[tuple[str, str]]:
    """Return what the service tells the worker, as it was measured.

    Every answer counts as an execution here, and a missing one is told as a response of 0.
    """
    retries = record.task.dispatch_count - 1
    told = [
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
        told.append(("X-AppEngine-TaskPreviousResponse", str(record.previous)))
        told.append(("X-AppEngine-TaskRetryReason", reason))
    return told
