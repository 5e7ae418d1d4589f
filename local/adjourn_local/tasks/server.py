"""The Cloud Tasks server: its gRPC and HTTP methods, start and stop."""

import asyncio
import datetime as dt
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from aiohttp import web
from google.cloud.tasks_v2.types import cloudtasks
from google.iam.v1 import iam_policy_pb2  # type: ignore[import-untyped]
from google.longrunning import operations_pb2  # type: ignore[import-untyped]

from adjourn_local.database import log_trouble
from adjourn_local.errors import StorageError
from adjourn_local.http import rest, rpc
from adjourn_local.http.sender import Sender
from adjourn_local.tasks import buffer_task, cmek, firebase, older_versions
from adjourn_local.tasks.attempts import Watch
from adjourn_local.tasks.counters import Counters
from adjourn_local.tasks.dispatcher import Dispatcher
from adjourn_local.tasks.iam_calls import IamCalls
from adjourn_local.tasks.options import DEFAULTS, TasksOptions
from adjourn_local.tasks.queue_calls import QueueCalls
from adjourn_local.tasks.retry import RETENTION
from adjourn_local.tasks.task_calls import TaskCalls, random_id
from adjourn_local.tasks.task_request import TaskRequestBuilder
from adjourn_local.tasks.task_routes import RULES, older_rules
from adjourn_local.tasks.task_store import TaskStore
from adjourn_local.timing.clocks import StackClock
from adjourn_local.timing.timestamps import micros, span
from adjourn_local.tokens.bearer import Mint

if TYPE_CHECKING:
    from adjourn_local.tasks.queue_statistics import QueueStatistics

_log = logging.getLogger(__name__)

_SERVICE = "google.cloud.tasks.v2.CloudTasks"
_LONGEST_DEADLINE = 30.0
_SWEEP_EVERY = dt.timedelta(hours=1)


class TasksServer:
    """A Cloud Tasks v2 server over one SQLite file; use it on the event loop that created it.

    Args:
        path: The state file, which other servers may share.
        clock: The stack's clock.
        mint: Makes an identity token for an account and an audience.
        sender: Sends the requests of tasks; whoever created it closes it.
        options: How the server behaves.
        new_id: Makes the id of a task that has none.
    """

    def __init__(
        self,
        path: Path,
        clock: StackClock,
        mint: Mint,
        sender: Sender,
        options: TasksOptions = DEFAULTS,
        *,
        new_id: Callable[[], str] = random_id,
    ) -> None:
        self._clock = clock
        self._options = options
        self._store = TaskStore(path)
        requests = TaskRequestBuilder(mint=mint, services=options.app_engine)
        self._dispatcher = Dispatcher(self._store, clock, requests, sender, options)
        self._queues = QueueCalls(self._store, self._dispatcher, clock, options)
        self._tasks = TaskCalls(
            self._store, self._dispatcher, self._queues, clock, options, new_id=new_id
        )
        self._access = IamCalls(self._store, self._queues)
        self._housekeeping: asyncio.Task[None] | None = None

    def grpc_services(self) -> list[grpc.GenericRpcHandler]:
        """Return the services for a gRPC server on this server's event loop."""
        return [
            rpc.service(_SERVICE, self._methods(), longest_deadline=_LONGEST_DEADLINE),
            *(rpc.service(name, methods) for name, methods in self._older_methods()),
            rpc.service("google.longrunning.Operations", self._operations()),
        ]

    def http_routes(self) -> list[web.RouteDef]:
        """Return the same methods over HTTP and JSON."""
        return [
            *rest.routes({**self._methods(), **self._operations()}, RULES),
            *(
                route
                for name, methods in self._older_methods()
                for route in rest.routes(methods, older_rules(name.split(".")[3], methods))
            ),
            *buffer_task.routes(self._queues, self._tasks),
            *firebase.routes(self._queues, self._tasks, self._options.firebase_functions),
        ]

    def watch(self, watch: Watch) -> None:
        """Tell of every attempt that ends, on this server's event loop."""
        self._dispatcher.watch(watch)

    async def start(self) -> None:
        """Begin to dispatch, including the tasks of earlier runs in the file."""
        self._dispatcher.start()
        self._housekeeping = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """Stop dispatching and close the file."""
        await self.halt()
        self.close()

    def pause(self) -> None:
        """Stop dispatching; attempts in flight go on, and API calls still work."""
        self._dispatcher.pause()

    def under_way(self) -> list[str]:
        """Return the names of the handlers whose attempts are in flight, each as often."""
        return self._dispatcher.under_way()

    async def halt(self, grace: float | None = None) -> None:
        """Stop dispatching; API calls still work.

        Args:
            grace: Seconds that attempts in flight have to end; None for those of the options.
        """
        if self._housekeeping is not None:
            self._housekeeping.cancel()
            with suppress(asyncio.CancelledError):
                await self._housekeeping
        await self._dispatcher.stop(self._options.grace if grace is None else grace)

    def close(self) -> None:
        """Close the file; afterwards no API call may arrive. A new server may open the file."""
        self._store.close()

    def move(self, bases: Mapping[str, str]) -> None:
        """Change the URLs of all tasks from former base URLs to new ones, before `start`."""
        self._store.move(bases)

    def ensure_queue(self, name: str) -> None:
        """Create a queue with defaults if it is missing; `name` is the full name."""
        self._queues.ensure(name)

    def counters(self) -> Counters:
        """Return the counters of this server."""
        tally = self._dispatcher.tally
        return Counters(
            created=tally.created,
            attempts=tally.attempts,
            succeeded=tally.succeeded,
            failed=tally.failed,
            retries=tally.retries,
            exhausted=tally.exhausted,
            in_flight=self._dispatcher.in_flight,
            queued=self._store.live() - self._dispatcher.running,
        )

    def _methods(self) -> rpc.Methods:
        queues, tasks, access = self._queues, self._tasks, self._access
        return {
            "ListQueues": (cloudtasks.ListQueuesRequest.pb(), queues.list),
            "GetQueue": (cloudtasks.GetQueueRequest.pb(), queues.get),
            "CreateQueue": (cloudtasks.CreateQueueRequest.pb(), queues.create),
            "UpdateQueue": (cloudtasks.UpdateQueueRequest.pb(), queues.update),
            "DeleteQueue": (cloudtasks.DeleteQueueRequest.pb(), queues.delete),
            "PurgeQueue": (cloudtasks.PurgeQueueRequest.pb(), queues.purge),
            "PauseQueue": (cloudtasks.PauseQueueRequest.pb(), queues.pause),
            "ResumeQueue": (cloudtasks.ResumeQueueRequest.pb(), queues.resume),
            "GetIamPolicy": (iam_policy_pb2.GetIamPolicyRequest, access.get),
            "SetIamPolicy": (iam_policy_pb2.SetIamPolicyRequest, access.set),
            "TestIamPermissions": (iam_policy_pb2.TestIamPermissionsRequest, access.test),
            "ListTasks": (cloudtasks.ListTasksRequest.pb(), tasks.list),
            "GetTask": (cloudtasks.GetTaskRequest.pb(), tasks.get),
            "CreateTask": (cloudtasks.CreateTaskRequest.pb(), tasks.create),
            "BatchCreateTasks": (cloudtasks.BatchCreateTasksRequest.pb(), tasks.batch_create),
            "DeleteTask": (cloudtasks.DeleteTaskRequest.pb(), tasks.delete),
            "BatchDeleteTasks": (cloudtasks.BatchDeleteTasksRequest.pb(), tasks.batch_delete),
            "RunTask": (cloudtasks.RunTaskRequest.pb(), tasks.run),
            "GetCmekConfig": (cloudtasks.GetCmekConfigRequest.pb(), cmek.get),
            "UpdateCmekConfig": (cloudtasks.UpdateCmekConfigRequest.pb(), cmek.update),
        }

    def _older_methods(self) -> list[tuple[str, rpc.Methods]]:
        """Return the older services with their methods."""
        version = older_versions.V2BETA3
        beta3 = {
            **older_versions.methods(version, self._methods()),
            "ListQueues": (version.request("ListQueues"), self._list_with_statistics),
            "GetQueue": (version.request("GetQueue"), self._get_with_statistics),
        }
        beta2 = older_versions.methods(older_versions.V2BETA2, beta3)
        return [
            (f"google.cloud.tasks.{version}.CloudTasks", methods)
            for version, methods in (("v2beta3", beta3), ("v2beta2", beta2))
        ]

    @cached_property
    def _statistics(self) -> "QueueStatistics":
        from adjourn_local.tasks.queue_statistics import QueueStatistics  # noqa: PLC0415 - for older clients

        return QueueStatistics(
            self._queues, self._store, self._dispatcher, self._clock, self._options
        )

    def _list_with_statistics(self, request: Any) -> Any:
        return self._statistics.list(request)

    def _get_with_statistics(self, request: Any) -> Any:
        return self._statistics.get(request)

    def _operations(self) -> rpc.Methods:
        return {"GetOperation": (operations_pb2.GetOperationRequest, self._tasks.operation)}

    async def _sweep(self) -> None:
        while True:
            try:
                await self._forget_and_expire()
            except StorageError as error:
                log_trouble(_log, error, "Finished tasks are deleted later.")
            await self._clock.sleep(_SWEEP_EVERY.total_seconds())

    async def _forget_and_expire(self) -> None:
        now = micros(self._clock.now())
        for record in await self._store.sweep(
            gone_before=now - span(self._options.tombstone), created_before=now - RETENTION
        ):
            self._dispatcher.expire(self._dispatcher.current(record))
