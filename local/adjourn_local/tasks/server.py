"""The embedded Cloud Tasks server: its parts put together, its gRPC face and its life."""

import asyncio
import datetime as dt
import logging
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
from google.cloud.tasks_v2.types import cloudtasks
from google.protobuf import empty_pb2  # type: ignore[import-untyped]

from adjourn_local import rpc
from adjourn_local.clock import Clock
from adjourn_local.sender import Sender
from adjourn_local.tasks.counters import Counters
from adjourn_local.tasks.dispatcher import Dispatcher, Mint
from adjourn_local.tasks.moment import micros, span
from adjourn_local.tasks.queue_calls import QueueCalls
from adjourn_local.tasks.retry import RETENTION
from adjourn_local.tasks.store import Store
from adjourn_local.tasks.task_calls import TaskCalls, random_id

__all__ = ["Mint", "TasksServer"]

_log = logging.getLogger(__name__)

_SERVICE = "google.cloud.tasks.v2.CloudTasks"
_SWEEP_EVERY = dt.timedelta(hours=1)
_NOT_SERVED = (
    "GetIamPolicy",
    "SetIamPolicy",
    "TestIamPermissions",
    "GetCmekConfig",
    "UpdateCmekConfig",
)


class TasksServer:
    """Cloud Tasks v2 over one SQLite file; it lives on the event loop that made it.

    Args:
        path: The state file, which other servers may share.
        clock: The stack's time.
        mint: Makes the token of a task that asks for one, from account and audience.
        sender: The way out to the workers; whoever made it closes it.
        limits: Whether queues keep to their rate and concurrency.
        tombstone: For how long the name of a task that is gone stays taken. The documentation says
            one hour here and 24 hours there.
        queue_tombstone: The same for the name of a deleted queue; documented as up to three days.
        grace: Seconds that `stop` leaves to the attempts in flight.
        new_id: Makes the id of a task that was given none.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        mint: Mint,
        sender: Sender,
        *,
        limits: bool = True,
        tombstone: dt.timedelta = dt.timedelta(hours=1),
        queue_tombstone: dt.timedelta = dt.timedelta(days=3),
        grace: float = 1.0,
        new_id: Callable[[], str] = random_id,
    ) -> None:
        self._clock = clock
        self._tombstone = tombstone
        self._grace = grace
        self._store = Store(path)
        self._dispatcher = Dispatcher(self._store, clock, mint, sender, limits=limits)
        self._queues = QueueCalls(self._store, self._dispatcher, clock, tombstone=queue_tombstone)
        self._tasks = TaskCalls(
            self._store,
            self._dispatcher,
            self._queues,
            clock,
            tombstone=tombstone,
            new_id=new_id,
        )
        self._housekeeping: asyncio.Task[None] | None = None

    def grpc_services(self) -> list[grpc.GenericRpcHandler]:
        """Return the service for a `grpc.aio` server on the loop this server lives on."""
        queues, tasks = self._queues, self._tasks
        served: dict[str, tuple[Any, rpc.Handler]] = {
            "ListQueues": (cloudtasks.ListQueuesRequest, queues.list),
            "GetQueue": (cloudtasks.GetQueueRequest, queues.get),
            "CreateQueue": (cloudtasks.CreateQueueRequest, queues.create),
            "UpdateQueue": (cloudtasks.UpdateQueueRequest, queues.update),
            "DeleteQueue": (cloudtasks.DeleteQueueRequest, queues.delete),
            "PurgeQueue": (cloudtasks.PurgeQueueRequest, queues.purge),
            "PauseQueue": (cloudtasks.PauseQueueRequest, queues.pause),
            "ResumeQueue": (cloudtasks.ResumeQueueRequest, queues.resume),
            "ListTasks": (cloudtasks.ListTasksRequest, tasks.list),
            "GetTask": (cloudtasks.GetTaskRequest, tasks.get),
            "CreateTask": (cloudtasks.CreateTaskRequest, tasks.create),
            "BatchCreateTasks": (cloudtasks.BatchCreateTasksRequest, tasks.batch_create),
            "DeleteTask": (cloudtasks.DeleteTaskRequest, tasks.delete),
            "BatchDeleteTasks": (cloudtasks.BatchDeleteTasksRequest, tasks.batch_delete),
            "RunTask": (cloudtasks.RunTaskRequest, tasks.run),
        }
        methods: dict[str, tuple[type, rpc.Handler]] = {
            name: (request.pb(), handler) for name, (request, handler) in served.items()
        }
        for name in _NOT_SERVED:
            methods[name] = (empty_pb2.Empty, _refuse(name))
        return [rpc.service(_SERVICE, methods)]

    async def start(self) -> None:
        """Begin to dispatch, first what an earlier life of this file left behind."""
        self._dispatcher.start()
        self._housekeeping = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """Finish the attempts in flight or give them back, and close the file."""
        if self._housekeeping is not None:
            self._housekeeping.cancel()
            with suppress(asyncio.CancelledError):
                await self._housekeeping
        await self._dispatcher.stop(self._grace)
        self._store.close()

    def ensure_queue(self, name: str) -> None:
        """Make a queue with the defaults if it is missing; `name` is the full name."""
        self._queues.ensure(name)

    def counters(self) -> Counters:
        """Return what this server has done since it was made and what it holds."""
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

    async def _sweep(self) -> None:
        while True:
            try:
                await self._forget_and_expire()
            except sqlite3.OperationalError:
                _log.exception("the state file cannot be swept; trying again later")
            await self._clock.sleep(_SWEEP_EVERY.total_seconds())

    async def _forget_and_expire(self) -> None:
        now = micros(self._clock.now())
        for record in await self._store.sweep(
            gone_before=now - span(self._tombstone), created_before=now - RETENTION
        ):
            self._dispatcher.expire(self._dispatcher.current(record))


def _refuse(method: str) -> rpc.Handler:
    def refuse(_: Any) -> Any:
        raise rpc.RpcError(
            grpc.StatusCode.UNIMPLEMENTED, f"{method} is not served by this local server."
        )

    return refuse
