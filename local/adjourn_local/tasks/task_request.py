"""Build the HTTP request of an attempt: the user's request with the service's headers."""

from dataclasses import dataclass

from adjourn_local.http.app_engine_services import Services, address
from adjourn_local.http.sender import Outgoing, replace_headers
from adjourn_local.tasks import app_engine_target
from adjourn_local.tasks.limits import method_name
from adjourn_local.tasks.queue_definition import QueueSettings
from adjourn_local.tasks.queue_http_target import overridden
from adjourn_local.tasks.task_definition import USER_AGENT
from adjourn_local.tasks.task_names import short
from adjourn_local.tasks.task_record import TaskRecord
from adjourn_local.timing.timestamps import SECOND
from adjourn_local.tokens.bearer import Mint, authorization


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRequestBuilder:
    """Builds the request of each attempt.

    Attributes:
        mint: Makes an identity token for an account and an audience.
        services: The base URL of each App Engine service.
    """

    mint: Mint
    services: Services

    async def build(self, record: TaskRecord, due: int, settings: QueueSettings) -> Outgoing:
        """Return the request of a task's current attempt, which its dispatch count includes.

        Raises:
            RpcError: FAILED_PRECONDITION, if no URL is configured for an App Engine service.
            Exception: Any error of `mint`.
        """
        eta = f"{due // SECOND}.{due % SECOND:06d}"
        if record.task.HasField("app_engine_http_request"):
            own = record.task.app_engine_http_request.app_engine_routing
            base = address(self.services, settings.app_engine or own)
            return app_engine_target.outgoing(record, eta, base)
        request = record.task.http_request
        if settings.http_target is not None:
            request = overridden(request, settings.http_target)
        bearer = await authorization(request, request.url, self.mint)
        forced = [*task_headers(record, eta), *bearer]
        return Outgoing(
            method=method_name(request.http_method),
            url=request.url,
            headers=replace_headers(request.headers, forced, reserved_prefixes=("X-CloudTasks-",)),
            body=request.body,
        )


def task_headers(record: TaskRecord, eta: str) -> list[tuple[str, str]]:
    """Return the headers that the service sets (tasks/docs/creating-http-target-tasks).

    Measured on HTTP targets: the retry reason is present but empty, and the previous response is
    absent if there was none.
    """
    retries = record.task.dispatch_count - 1
    headers = [
        ("User-Agent", USER_AGENT),
        ("X-CloudTasks-QueueName", short(record.queue)),
        ("X-CloudTasks-TaskName", record.task_id),
        ("X-CloudTasks-TaskRetryCount", str(retries)),
        ("X-CloudTasks-TaskExecutionCount", str(record.executions)),
        ("X-CloudTasks-TaskETA", eta),
    ]
    if retries:
        if record.previous:
            headers.append(("X-CloudTasks-TaskPreviousResponse", str(record.previous)))
        headers.append(("X-CloudTasks-TaskRetryReason", ""))
    return headers
