"""BufferTask: create a task from any HTTP body, in a queue with an HTTP target.

The method exists over REST only; neither the gRPC definition nor the Python client has it.
"""

from typing import Any

import grpc
from aiohttp import web
from google.cloud.tasks_v2.types import cloudtasks

from adjourn_local.http import rest
from adjourn_local.http.bodies import BODY
from adjourn_local.http.error_responses import error_response
from adjourn_local.http.gate import accepting
from adjourn_local.http.rpc import RpcError, call
from adjourn_local.tasks.queue_calls import QueueCalls
from adjourn_local.tasks.queue_http_target import overridden_url
from adjourn_local.tasks.task_calls import TaskCalls

_TASKS = "/v2/{queue=projects/*/locations/*/queues/*}/tasks"
# The header that the service sets unless the queue's target does (`HttpTarget.header_overrides`).
_HEADERS = {"Content-Type": "application/json"}

_CreateTaskRequest: Any = cloudtasks.CreateTaskRequest.pb()


def routes(queues: QueueCalls, tasks: TaskCalls) -> list[web.RouteDef]:
    """Return the routes of BufferTask: without and with a task id."""

    @accepting()
    async def handle(request: web.Request) -> web.Response:
        name, task_id = request.match_info["queue"], request.match_info.get("task_id", "")
        body = request[BODY]
        try:
            queue = queues.require(name)
            created = await call(request.path, tasks.create, _request(queue, task_id, body))
        except RpcError as error:
            return error_response(error)
        return rest.respond(request, created, under="task")

    return [
        web.post(rest.pattern(f"{_TASKS}:buffer"), handle),
        web.post(rest.pattern(f"{_TASKS}/:buffer"), handle),  # as gcloud asks without an id
        web.post(rest.pattern(f"{_TASKS}/{{task_id=*}}:buffer"), handle),
    ]


def _request(queue: Any, task_id: str, body: bytes) -> Any:
    override = queue.http_target.uri_override
    if not override.host:
        raise RpcError(
            grpc.StatusCode.FAILED_PRECONDITION,
            "BufferTask needs a queue with an HTTP target: set Queue.httpTarget.uriOverride.host.",
        )
    request = _CreateTaskRequest(parent=queue.name)
    if task_id:
        request.task.name = f"{queue.name}/tasks/{task_id}"
    request.task.http_request.url = overridden_url("", override)
    request.task.http_request.headers.update(_HEADERS)
    request.task.http_request.body = body
    return request
