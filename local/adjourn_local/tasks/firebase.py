"""Task queue functions of Firebase: what firebase-admin asks of `CLOUD_TASKS_EMULATOR_HOST`.

The paths lack the version, and a task without a URL is for the function of its queue, which runs in
Firebase's Functions emulator (firebase-tools, `src/emulator/tasksEmulator.ts`; firebase-admin for
Python, `firebase_admin/functions.py`).
"""

from typing import Any

from aiohttp import web
from google.cloud.tasks_v2.types import cloudtasks
from google.protobuf import json_format  # type: ignore[import-untyped]

from adjourn_local.http import rest
from adjourn_local.http.bodies import BODY
from adjourn_local.http.error_responses import error_response
from adjourn_local.http.resource_names import invalid
from adjourn_local.http.rpc import RpcError, call
from adjourn_local.tasks.queue_calls import QueueCalls
from adjourn_local.tasks.task_calls import TaskCalls

_TASKS = "/{queue=projects/*/locations/*/queues/*}/tasks"

_CreateTaskRequest: Any = cloudtasks.CreateTaskRequest.pb()
_DeleteTaskRequest: Any = cloudtasks.DeleteTaskRequest.pb()


def routes(queues: QueueCalls, tasks: TaskCalls, functions: str) -> list[web.RouteDef]:
    """Return the routes.

    Args:
        queues: The methods for queues. Firebase makes the queue of a function when it is deployed;
            here its first task does.
        tasks: The methods for tasks.
        functions: The base URL of Firebase's Functions emulator.
    """

    async def enqueue(request: web.Request) -> web.Response:
        queue = request.match_info["queue"]
        try:
            wanted = _request(queue, request[BODY], functions)
            queues.ensure(queue)
            task = await call(request.path, tasks.create, wanted)
        except RpcError as error:
            return error_response(error)
        content = json_format.MessageToDict(task)
        # So the emulator of Firebase says it, and its client for Python leaves the first character.
        return web.json_response({"task": {**content, "name": f"/{task.name}"}})

    async def delete(request: web.Request) -> web.Response:
        name = f"{request.match_info['queue']}/tasks/{request.match_info['task_id']}"
        try:
            await call(request.path, tasks.delete, _DeleteTaskRequest(name=name))
        except RpcError as error:
            return error_response(error)
        return web.json_response({})

    return [
        web.post(rest.pattern(_TASKS), enqueue),
        web.delete(rest.pattern(f"{_TASKS}/{{task_id=*}}"), delete),
    ]


def _request(queue: str, body: bytes, functions: str) -> Any:
    request = _CreateTaskRequest()
    try:
        json_format.Parse(body, request, ignore_unknown_fields=True)
    except (json_format.ParseError, UnicodeDecodeError) as error:
        raise invalid(f"Invalid request: {error}") from None
    request.parent = queue
    http = request.task.http_request
    if not http.url:
        _, project, _, location, _, function = queue.split("/")
        http.url = f"{functions}/{project}/{location}/{function}"
    if not http.oidc_token.service_account_email:
        http.ClearField("oidc_token")
    return request
