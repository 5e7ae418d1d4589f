"""The API methods for tasks."""

import secrets
from collections.abc import Callable, Container, Sequence
from typing import Any

import grpc
from google.cloud.tasks_v2.types import cloudtasks
from google.protobuf import empty_pb2  # type: ignore[import-untyped]

from adjourn_local.http.app_engine_services import address
from adjourn_local.http.resource_names import invalid
from adjourn_local.http.rpc import RpcError
from adjourn_local.tasks import batch_operations, page_tokens
from adjourn_local.tasks.dispatcher import Dispatcher
from adjourn_local.tasks.options import TasksOptions
from adjourn_local.tasks.queue_calls import QueueCalls
from adjourn_local.tasks.queue_definition import settings_of
from adjourn_local.tasks.task_definition import new_task, view
from adjourn_local.tasks.task_names import split_task
from adjourn_local.tasks.task_record import TaskRecord
from adjourn_local.tasks.task_store import TaskStore
from adjourn_local.timing.clocks import StackClock
from adjourn_local.timing.timestamps import micros, span

_MAX_PAGE = 1000
_MAX_PAGE_BYTES = 3 << 20
_MAX_CREATES = 100
_MAX_DELETES = 1000

_ListTasksResponse: Any = cloudtasks.ListTasksResponse.pb()
_BatchCreateResponse: Any = cloudtasks.BatchCreateTasksResponse.pb()
_BatchCreateMetadata: Any = cloudtasks.BatchCreateTasksMetadata.pb()
_BatchDeleteMetadata: Any = cloudtasks.BatchDeleteTasksMetadata.pb()


def random_id() -> str:
    """Return a random task id of 20 decimal digits, as the service makes them (measured)."""
    return f"{secrets.randbits(64):020d}"


class TaskCalls:
    """Serves the methods that create, read, delete and run tasks."""

    def __init__(
        self,
        store: TaskStore,
        dispatcher: Dispatcher,
        queues: QueueCalls,
        clock: StackClock,
        options: TasksOptions,
        *,
        new_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._queues = queues
        self._clock = clock
        self._tombstone = span(options.tombstone)
        self._services = options.app_engine
        self._new_id = new_id

    def create(self, request: Any) -> Any:
        """Serve CreateTask; when it returns, the task survives a kill of the process."""
        self._queues.require_for_task(request.parent)
        now = micros(self._clock.now())
        task = self._new(request, now)
        response = view(task, request.response_view)
        self._arrived(self._store.add(request.parent, [task], now))
        return response

    def batch_create(self, request: Any) -> Any:
        """Serve BatchCreateTasks: each request succeeds or fails on its own."""
        self._queues.require_for_task(request.parent)
        _check_batch(len(request.requests), _MAX_CREATES)
        if any(one.parent != request.parent for one in request.requests):
            raise invalid("Every request's parent must be the same as the batch's parent.")
        name, known = self._operation(request)
        if known is not None:
            return known
        now = micros(self._clock.now())
        response = _BatchCreateResponse()
        tasks: dict[str, Any] = {}
        failures: dict[int, RpcError] = {}
        for index, one in enumerate(request.requests):
            try:
                task = self._new(one, now, beside=tasks)
            except RpcError as error:
                failures[index] = error
            else:
                tasks[task.name] = task
                response.tasks.append(view(task, one.response_view))
        operation = batch_operations.done_operation(
            name,
            metadata=_BatchCreateMetadata(),
            response=response,
            failures=failures,
            total=len(request.requests),
            now=now,
        )
        added = self._store.add(request.parent, [*tasks.values()], now, operation=operation)
        self._arrived(added)
        return operation

    def get(self, request: Any) -> Any:
        """Serve GetTask."""
        return view(self._require(request.name).task, request.response_view)

    def list(self, request: Any) -> Any:
        """Serve ListTasks, in the order of creation."""
        self._queues.require(request.parent)
        now = micros(self._clock.now())
        size = page_tokens.page_size(request.page_size, _MAX_PAGE)
        after = int(page_tokens.redeem(request.page_token, request.parent, now) or 0)
        response = _ListTasksResponse()
        weight = 0
        for record in self._store.tasks(request.parent, after, size + 1):
            task = view(self._dispatcher.current(record).task, request.response_view)
            # Clients accept 4 MB by default, and a page may have fewer tasks than requested.
            weight += task.ByteSize()
            if len(response.tasks) == size or (response.tasks and weight > _MAX_PAGE_BYTES):
                response.next_page_token = page_tokens.issue(request.parent, str(after), now)
                break
            response.tasks.append(task)
            after = record.id
        return response

    def delete(self, request: Any) -> Any:
        """Serve DeleteTask; an attempt in flight is completed, but not retried."""
        self._store.end(self._require(request.name), micros(self._clock.now()))
        self._store.flush()
        return empty_pb2.Empty()

    def batch_delete(self, request: Any) -> Any:
        """Serve BatchDeleteTasks: each name succeeds or fails on its own."""
        self._queues.require(request.parent)
        _check_batch(len(request.names), _MAX_DELETES)
        name, known = self._operation(request)
        if known is not None:
            return known
        now = micros(self._clock.now())
        failures: dict[int, RpcError] = {}
        for index, task in enumerate(request.names):
            try:
                _check_parent(request.parent, task)
                self._store.end(self._require(task), now)
            except RpcError as error:
                failures[index] = error
        operation = batch_operations.done_operation(
            name,
            metadata=_BatchDeleteMetadata(),
            response=empty_pb2.Empty(),
            failures=failures,
            total=len(request.names),
            now=now,
        )
        self._store.put_operation(operation, now)
        return operation

    def run(self, request: Any) -> Any:
        """Serve RunTask: an attempt begins at once, regardless of the queue's state and limits."""
        record = self._require(request.name)
        self._dispatcher.run(record)
        return view(record.task, request.response_view)

    def operation(self, request: Any) -> Any:
        """Serve GetOperation: return the operation of a recent batch."""
        operation = self._store.operation(request.name)
        if operation is None:
            raise RpcError(grpc.StatusCode.NOT_FOUND, "Requested entity was not found.")
        return operation

    def _new(self, request: Any, now: int, *, beside: Container[str] = ()) -> Any:
        """Return the task of a request; its name must be free, also among the names in `beside`."""
        since = now - self._tombstone
        name = request.task.name
        self._check_service(request)
        if not name:
            task_id = self._free_id(request.parent, since)
            return new_task(request.task, f"{request.parent}/tasks/{task_id}", now)
        task_id = _check_parent(request.parent, name)
        task = new_task(request.task, name, now)
        if name in beside or self._store.is_taken(request.parent, task_id, since):
            raise RpcError(grpc.StatusCode.ALREADY_EXISTS, "Requested entity already exists")
        return task

    def _check_service(self, request: Any) -> None:
        """Refuse an App Engine task whose service has no configured URL."""
        if request.task.HasField("app_engine_http_request"):
            queue = self._queues.require(request.parent)
            own = request.task.app_engine_http_request.app_engine_routing
            address(self._services, settings_of(queue).app_engine or own)

    def _arrived(self, records: Sequence[TaskRecord]) -> None:
        self._dispatcher.tally.created += len(records)
        for record in records:
            self._dispatcher.arrived(record)

    def _free_id(self, queue: str, since: int) -> str:
        while self._store.is_taken(queue, task_id := self._new_id(), since):
            pass
        return task_id

    def _require(self, name: str) -> TaskRecord:
        queue, task_id = split_task(name)
        record = self._store.find(queue, task_id)
        if record is not None:
            return self._dispatcher.current(record)
        if self._store.is_taken(queue, task_id, micros(self._clock.now()) - self._tombstone):
            raise RpcError(
                grpc.StatusCode.NOT_FOUND,
                "The task no longer exists, though a task with this name existed recently. "
                "The task either successfully completed or was deleted.",
            )
        raise RpcError(grpc.StatusCode.NOT_FOUND, "Requested entity was not found.")

    def _operation(self, request: Any) -> tuple[str, Any | None]:
        """Return the name of a batch's operation, and the operation if the request is repeated."""
        location = request.parent[: request.parent.index("/queues/")]
        name = f"{location}/operations/{request.request_id or secrets.token_hex(16)}"
        return name, self._store.operation(name) if request.request_id else None


def _check_batch(length: int, maximum: int) -> None:
    if not 0 < length <= maximum:
        raise invalid(f"A batch must have between 1 and {maximum} requests, not {length}.")


def _check_parent(parent: str, name: str) -> str:
    queue, task_id = split_task(name)
    if queue != parent:
        raise invalid(
            f"The queue name from request ('{parent}') must be the same as "
            f"the queue name in the named task ('{queue}')."
        )
    return task_id
