"""The API methods for queues."""

import logging
from collections.abc import Iterator
from itertools import islice
from typing import Any

import grpc
from google.cloud.tasks_v2.types import cloudtasks
from google.cloud.tasks_v2.types import queue as queue_types
from google.protobuf import empty_pb2  # type: ignore[import-untyped]
from google.rpc import error_details_pb2  # type: ignore[import-untyped]

from adjourn_local.http.resource_names import check_location, help_link, invalid
from adjourn_local.http.rpc import RpcError
from adjourn_local.tasks import page_tokens
from adjourn_local.tasks.dispatcher import Dispatcher
from adjourn_local.tasks.options import TasksOptions
from adjourn_local.tasks.queue_definition import PAUSED, RUNNING, merged, new_queue, settings_of
from adjourn_local.tasks.queue_filters import parse
from adjourn_local.tasks.task_names import split_queue
from adjourn_local.tasks.task_store import TaskStore
from adjourn_local.timing.clocks import StackClock
from adjourn_local.timing.timestamps import micros, span, write

_MAX_PAGE = 9800
_MAX_QUEUES = 1000

_ListQueuesResponse: Any = cloudtasks.ListQueuesResponse.pb()
_Queue: Any = queue_types.Queue.pb()

_log = logging.getLogger(__name__)


class QueueCalls:
    """Serves the methods for queues; each change goes to the store and to the dispatcher."""

    def __init__(
        self, store: TaskStore, dispatcher: Dispatcher, clock: StackClock, options: TasksOptions
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._clock = clock
        self._options = options
        self._queues = store.queues()
        for name, queue in self._queues.items():
            dispatcher.open(name, settings_of(queue))

    def find(self, name: str) -> Any | None:
        """Return a queue, or None if it does not exist."""
        return self._queues.get(name)

    def require(self, name: str) -> Any:
        """Return a queue.

        Raises:
            RpcError: INVALID_ARGUMENT or NOT_FOUND.
        """
        queue = self._queues.get(name)
        if queue is None:
            split_queue(name)
            raise RpcError(
                grpc.StatusCode.NOT_FOUND,
                "Queue does not exist. If you just created the queue, "
                "wait at least a minute for the queue to initialize.",
            )
        return queue

    def require_for_task(self, name: str) -> Any:
        """Return the queue that a task is created in; an option creates a missing one.

        Raises:
            RpcError: INVALID_ARGUMENT or NOT_FOUND.
        """
        if self._options.creates_queues:
            self.ensure(name)
        elif name not in self._queues:
            _log.warning("No queue %s; `adjourn up --create-queues` makes it with a task.", name)
        return self.require(name)

    def ensure(self, name: str) -> None:
        """Create a queue with defaults if missing, even if its name was just deleted."""
        split_queue(name)
        if name not in self._queues:
            self._put(new_queue(_Queue(name=name)))

    def create(self, request: Any) -> Any:
        """Serve CreateQueue."""
        _check_parent(request.parent)
        location, _ = split_queue(request.queue.name)
        if location != request.parent:
            raise invalid(f'"{request.queue.name}" must begin with "{request.parent}/queues/".')
        if request.queue.name in self._queues:
            raise RpcError(grpc.StatusCode.ALREADY_EXISTS, "Queue already exists")
        self._check_room(request.queue.name)
        return self._put(new_queue(request.queue))

    def update(self, request: Any) -> Any:
        """Serve UpdateQueue, which creates a missing queue."""
        queue = self._queues.get(request.queue.name)
        if queue is None:
            split_queue(request.queue.name)
            self._check_room(request.queue.name)
            return self._put(new_queue(request.queue))
        return self._put(merged(queue, request.queue, request.update_mask))

    def get(self, request: Any) -> Any:
        """Serve GetQueue."""
        return self.require(request.name)

    def list(self, request: Any) -> Any:
        """Serve ListQueues."""
        _check_parent(request.parent)
        matches = parse(request.filter)
        now = micros(self._clock.now())
        size = page_tokens.page_size(request.page_size, _MAX_PAGE)
        listing = f"{request.parent} {request.filter}"
        after = page_tokens.redeem(request.page_token, listing, now) or ""
        prefix = f"{request.parent}/queues/"
        names = sorted(name for name in self._queues if name.startswith(prefix) and name > after)
        found = (queue for name in names if matches(queue := self._queues[name]))
        response = _ListQueuesResponse(queues=islice(found, size))
        if next(found, None) is not None:
            response.next_page_token = page_tokens.issue(listing, response.queues[-1].name, now)
        return response

    async def delete(self, request: Any) -> Any:
        """Serve DeleteQueue, which deletes the queue's tasks, too."""
        split_queue(request.name)
        if request.name not in self._queues:
            raise RpcError(grpc.StatusCode.NOT_FOUND, "Requested entity was not found.")
        now, last = micros(self._clock.now()), self._store.last_id
        self._store.delete_queue(request.name, now)
        del self._queues[request.name]
        self._dispatcher.close(request.name, last)
        await self._store.empty(request.name, last, now)
        return empty_pb2.Empty()

    def pause(self, request: Any) -> Any:
        """Serve PauseQueue."""
        return self._put(_changed(self.require(request.name), state=PAUSED))

    def resume(self, request: Any) -> Any:
        """Serve ResumeQueue."""
        return self._put(_changed(self.require(request.name), state=RUNNING))

    async def purge(self, request: Any) -> Any:
        """Serve PurgeQueue: delete the tasks that were created before this call."""
        queue = _changed(self.require(request.name))
        now, last = micros(self._clock.now()), self._store.last_id
        write(queue.purge_time, now)
        self._put(queue)
        self._dispatcher.purge(request.name, last)
        await self._store.empty(request.name, last, now)
        return queue

    def _check_room(self, name: str) -> None:
        since = micros(self._clock.now()) - span(self._options.queue_tombstone)
        if self._store.is_queue_name_taken(name, since):
            raise RpcError(
                grpc.StatusCode.FAILED_PRECONDITION,
                "The queue cannot be created because a queue with this name existed too recently.",
            )
        prefix = name[: name.rindex("/") + 1]
        if sum(other.startswith(prefix) for other in self._queues) >= _MAX_QUEUES:
            raise RpcError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"A location of a project can have at most {_MAX_QUEUES} queues.",
            )

    def _put(self, queue: Any) -> Any:
        self._store.put_queue(queue)
        self._queues[queue.name] = queue
        self._dispatcher.open(queue.name, settings_of(queue))
        return queue


def _check_parent(parent: str) -> None:
    """Refuse what is no location; what is no path at all, the service takes for a project."""
    if parent and "/" not in parent:
        text = f"Permission denied on resource project {parent}."
        raise RpcError(grpc.StatusCode.PERMISSION_DENIED, text, *_denial(parent, text))
    check_location(parent)


def _denial(project: str, text: str) -> Iterator[Any]:
    metadata = {
        "consumer": f"projects/{project}",
        "containerInfo": project,
        "service": "cloudtasks.googleapis.com",
    }
    yield error_details_pb2.ErrorInfo(
        reason="CONSUMER_INVALID", domain="googleapis.com", metadata=metadata
    )
    yield error_details_pb2.LocalizedMessage(locale="en-US", message=text)
    yield help_link("Google developers console", "https://console.developers.google.com")


def _changed(queue: Any, **fields: Any) -> Any:
    result = _Queue(**fields)
    changes = _Queue()
    changes.CopyFrom(queue)
    changes.MergeFrom(result)
    return changes
