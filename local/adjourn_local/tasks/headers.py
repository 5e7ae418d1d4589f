"""The request that a worker receives: the user's, with the service's headers over it."""

from typing import Any

from google.cloud.tasks_v2.types import target as target_types

from adjourn_local.sender import Outgoing, replace_headers
from adjourn_local.tasks.moment import SECOND
from adjourn_local.tasks.names import short
from adjourn_local.tasks.record import Record

_METHODS: Any = target_types.HttpMethod


def outgoing(record: Record, due: int, authorization: str | None) -> Outgoing:
    """Return the request of a task's current attempt, which its dispatch count includes already."""
    request = record.task.http_request
    forced = task_headers(record, due)
    if authorization is not None:
        forced.append(("Authorization", authorization))
    return Outgoing(
        method=_METHODS(request.http_method).name,
        url=request.url,
        headers=replace_headers(request.headers, forced, reserved_prefixes=("X-CloudTasks-",)),
        body=request.body,
    )


def task_headers(record: Record, due: int) -> list[tuple[str, str]]:
    """Return what the service tells the worker (tasks/docs/creating-http-target-tasks).

    The reason of a retry was seen present but empty on HTTP targets; the previous response is left
    out if there was none to tell.
    """
    retries = record.task.dispatch_count - 1
    told = [
        ("User-Agent", "Google-Cloud-Tasks"),
        ("X-CloudTasks-QueueName", short(record.queue)),
        ("X-CloudTasks-TaskName", record.task_id),
        ("X-CloudTasks-TaskRetryCount", str(retries)),
        ("X-CloudTasks-TaskExecutionCount", str(record.executions)),
        ("X-CloudTasks-TaskETA", f"{due // SECOND}.{due % SECOND:06d}"),
    ]
    if retries:
        if record.previous:
            told.append(("X-CloudTasks-TaskPreviousResponse", str(record.previous)))
        told.append(("X-CloudTasks-TaskRetryReason", ""))
    return told


def token_request(task: Any) -> tuple[str, str] | None:
    """Return account and audience of the token a task wants; the audience defaults to the URL."""
    request = task.http_request
    if not request.HasField("oidc_token"):
        return None
    token = request.oidc_token
    return token.service_account_email, token.audience or request.url
