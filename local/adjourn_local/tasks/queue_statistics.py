"""ListQueues and GetQueue of Cloud Tasks v2beta3, for the statistics that v2 does not have.

`Queue.stats` is returned only if the read mask names it
(https://cloud.google.com/tasks/docs/reference/rpc/google.cloud.tasks.v2beta3).
"""

from typing import Any

from google.cloud.tasks_v2.types import cloudtasks as v2
from google.cloud.tasks_v2beta3.types import cloudtasks
from google.cloud.tasks_v2beta3.types import queue as queue_types
from google.protobuf.field_mask_pb2 import FieldMask  # type: ignore[import-untyped]

from adjourn_local.http.resource_names import invalid
from adjourn_local.tasks.dispatcher import Dispatcher
from adjourn_local.tasks.options import TasksOptions
from adjourn_local.tasks.queue_calls import QueueCalls
from adjourn_local.tasks.retry import RETENTION
from adjourn_local.tasks.task_store import TaskStore
from adjourn_local.timing.clocks import StackClock
from adjourn_local.timing.timestamps import micros, span, write

_Queue: Any = queue_types.Queue.pb()
_ListQueuesResponse: Any = cloudtasks.ListQueuesResponse.pb()
_V2ListQueuesRequest: Any = v2.ListQueuesRequest.pb()
_DEFAULT = [field.name for field in _Queue.DESCRIPTOR.fields if field.name != "stats"]
# Fields of the same form in both versions.
_SHARED = ("rate_limits", "retry_config", "purge_time", "stackdriver_logging_config", "http_target")


class QueueStatistics:
    """Serves what v2beta3 has beyond v2; the queues are the same."""

    def __init__(
        self,
        queues: QueueCalls,
        store: TaskStore,
        dispatcher: Dispatcher,
        clock: StackClock,
        options: TasksOptions,
    ) -> None:
        self._queues = queues
        self._store = store
        self._dispatcher = dispatcher
        self._clock = clock
        self._options = options

    def get(self, request: Any) -> Any:
        """Serve GetQueue."""
        return self._masked(self._queues.get(request), request)

    def list(self, request: Any) -> Any:
        """Serve ListQueues."""
        found = self._queues.list(
            _V2ListQueuesRequest(
                parent=request.parent,
                filter=request.filter,
                page_size=request.page_size,
                page_token=request.page_token,
            )
        )
        queues = [self._masked(queue, request) for queue in found.queues]
        return _ListQueuesResponse(queues=queues, next_page_token=found.next_page_token)

    def _masked(self, queue: Any, request: Any) -> Any:
        mask = request.read_mask if request.read_mask.paths else FieldMask(paths=_DEFAULT)
        if not mask.IsValidForDescriptor(_Queue.DESCRIPTOR):
            raise invalid(f"Invalid field mask: {', '.join(mask.paths)}.")
        whole, result = self._converted(queue), _Queue()
        if any(path == "stats" or path.startswith("stats.") for path in mask.paths):
            self._count(queue.name, whole.stats)
        mask.MergeMessage(whole, result)
        return result

    def _converted(self, queue: Any) -> Any:
        result = _Queue(name=queue.name, state=queue.state, type_=_Queue.PUSH)
        for name in _SHARED:
            if queue.HasField(name):
                getattr(result, name).ParseFromString(getattr(queue, name).SerializeToString())
        if queue.HasField("app_engine_routing_override"):
            data = queue.app_engine_routing_override.SerializeToString()
            result.app_engine_http_queue.app_engine_routing_override.ParseFromString(data)
        result.task_ttl.FromMicroseconds(RETENTION)
        result.tombstone_ttl.FromMicroseconds(span(self._options.tombstone))
        return result

    def _count(self, name: str, stats: Any) -> None:
        queue = self._dispatcher.queue(name)
        now = micros(self._clock.now())
        stats.tasks_count, due = self._store.count(name)
        if due is not None:
            write(stats.oldest_estimated_arrival_time, due)
        stats.executed_last_minute_count = queue.executed.total(now)
        stats.concurrent_dispatches_count = queue.in_flight
        stats.effective_execution_rate = queue.rate
