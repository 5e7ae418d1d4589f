"""App Engine targets: their own defaults and headers, and where their services are locally."""

from collections.abc import Mapping
from typing import Any

import grpc

from adjourn_local.names import invalid
from adjourn_local.rpc import RpcError
from adjourn_local.sender import Outgoing, replace_headers
from adjourn_local.tasks.limits import MAX_URL, POST, PUT, check_headers, check_method, method_name
from adjourn_local.tasks.names import short
from adjourn_local.tasks.record import Record

# Where App Engine services are reached, by the name of the service.
Services = Mapping[str, str]

USER_AGENT = "AppEngine-Google; (+http://code.google.com/appengine)"

_NAME = "AppEngineHttpRequest"
_DEFAULT_SERVICE = "default"
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


def set_host(routing: Any, project: str) -> None:
    """Set the host that a routing leads to, which is output only (`AppEngineRouting.host`)."""
    parts = (routing.instance, routing.version, routing.service, f"{project}.appspot.com")
    routing.host = ".".join(part for part in parts if part)


def address(services: Services, routing: Any) -> str:
    """Return the base URL of the service that a routing names, whatever version and instance.

    Raises:
        RpcError: FAILED_PRECONDITION, if none is known.
    """
    service = routing.service or _DEFAULT_SERVICE
    if service not in services:
        raise RpcError(
            grpc.StatusCode.FAILED_PRECONDITION,
            f'It is not known where the App Engine service "{service}" is: start the stack with '
            f"--app-engine {service}=http://127.0.0.1:PORT.",
        )
    return services[service].rstrip("/")


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
