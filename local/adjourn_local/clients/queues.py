"""The queues of a deployment and the tasks that wait in them, through Google's clients."""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from google.api_core.exceptions import GoogleAPIError, NotFound, PermissionDenied
from google.auth.exceptions import GoogleAuthError
from google.cloud import tasks_v2beta3
from google.cloud.tasks_v2 import CloudTasksClient, ListTasksRequest, ListTasksResponse, Task
from google.cloud.tasks_v2beta3.services.cloud_tasks.transports import CloudTasksGrpcTransport

from adjourn.errors import EnqueueError, UnknownNameError
from adjourn.ports import Sealer
from adjourn_local.clients.queued_task import (
    QueuedTask,
    is_running,
    last_status,
    queued_task,
    time_of,
)

MOST_COUNTED = 1000
MOST_RUN = 500
_MOST_PAGES = 10

_TIMEOUT = 20.0
_SHOWN = ("name", "state", "rate_limits", "retry_config", "stats")
# Their methods come from a metaclass.
_ListTasksResponse: Any = ListTasksResponse
_Task: Any = Task
_Queue: Any = tasks_v2beta3.Queue


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPage:
    """Some tasks.

    Attributes:
        tasks: The tasks, in the order of the service.
        next: The token of the next page; "" if this is the last.
    """

    tasks: Sequence[QueuedTask]
    next: str

    @property
    def is_whole(self) -> bool:
        """Whether calls are shown; they are not without `cloudtasks.tasks.fullView`."""
        return all(task.is_whole for task in self.tasks)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """A queue.

    Attributes:
        name: Its short name.
        state: RUNNING, PAUSED or DISABLED.
        waiting: Tasks in it, including those that are being attempted; an estimate in the cloud.
        running: Attempts that have no answer yet.
        failing: Tasks of which an attempt has failed, among the first thousand.
        oldest: When the oldest of the first thousand was created; None without one.
        next_attempt: An estimate of when the next task is due; None without one.
        last_minute: Attempts that were answered in the last minute.
        rate: Dispatches a second at most.
        at_once: Attempts at once at most.
        max_attempts: Attempts at a task at most; -1 for unlimited.
    """

    name: str
    state: str
    waiting: int
    running: int
    failing: int
    oldest: dt.datetime | None
    next_attempt: dt.datetime | None
    last_minute: int
    rate: float
    at_once: int
    max_attempts: int

    @property
    def has_more(self) -> bool:
        """Whether there are more tasks than were looked at for `failing` and `oldest`."""
        return self.waiting > MOST_COUNTED


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Queues:
    """The queues of one project and region.

    Attributes:
        client: Returns the client of Cloud Tasks, which speaks gRPC.
        parent: `projects/…/locations/…`.
        count: Called with the number of requests that are made.
        sealer: Opens the calls that are shown; None without a key.
    """

    client: Callable[[], CloudTasksClient]
    parent: str
    count: Callable[[int], object] = lambda _: None
    sealer: Sealer | None = None

    def list(self) -> Sequence[QueueState]:
        """Return the queues, by name; one list of tasks is asked for each.

        Raises:
            EnqueueError: Cloud Tasks could not be reached or refused.
        """
        # Only v2beta3 has statistics. Its client shares the connection and its credentials.
        transport: Any = self.client().transport
        client = tasks_v2beta3.CloudTasksClient(
            transport=CloudTasksGrpcTransport(channel=transport.grpc_channel)
        )
        request = {"parent": self.parent, "read_mask": {"paths": _SHOWN}}
        with _translated(self.parent):
            self.count(1)
            found = [*client.list_queues(request=request, timeout=_TIMEOUT)]
            return sorted((self._state(queue) for queue in found), key=lambda queue: queue.name)

    def names(self) -> Sequence[str]:
        """Return the short names of the queues. Errors are those of `list`."""
        with _translated(self.parent):
            self.count(1)
            try:
                found = list(self.client().list_queues(parent=self.parent, timeout=_TIMEOUT))
            except PermissionDenied as error:
                raise EnqueueError(
                    f"Listing queues takes cloudtasks.queues.list in {self.parent}; name one with"
                    f" --queue. {error.message}"
                ) from error
            return sorted(queue.name.rpartition("/")[2] for queue in found)

    def tasks(self, queue: str, *, size: int = 50, after: str = "") -> TaskPage:
        """Return some tasks of a queue.

        Raises:
            UnknownNameError: There is no such queue.
            EnqueueError: Cloud Tasks could not be reached or refused.
        """
        page, is_whole = self.page(queue, size=size, after=after, with_bodies=True)
        tasks = [self.described(task, is_whole=is_whole) for task in page.tasks]
        return TaskPage(tasks=tasks, next=page.next_page_token)

    def page(
        self, queue: str, *, size: int, after: str = "", with_bodies: bool = False
    ) -> tuple[Any, bool]:
        """Return a page of tasks as a raw message, and whether they have their bodies.

        To read the raw messages takes a tenth of the time. Errors are those of `tasks`.
        """

        def ask(view: int) -> Any:
            self.count(1)
            request = ListTasksRequest(
                parent=self.name(queue), page_size=size, page_token=after, response_view=view
            )
            pages = self.client().list_tasks(request=request, timeout=_TIMEOUT).pages
            return _ListTasksResponse.pb(next(iter(pages)))

        with _translated(queue):
            return _most(ask) if with_bodies else (ask(Task.View.BASIC), False)

    def task(self, queue: str, task_id: str) -> QueuedTask:
        """Return one task.

        Raises:
            UnknownNameError: It has ended, or never was.
            EnqueueError: Cloud Tasks could not be reached or refused.
        """
        name = self.name(queue, task_id)

        def ask(view: int) -> Any:
            self.count(1)
            request = {"name": name, "response_view": view}
            return _Task.pb(self.client().get_task(request=request, timeout=_TIMEOUT))

        with _translated(name):
            message, is_whole = _most(ask)
            return self.described(message, is_whole=is_whole)

    def described(self, message: Any, *, is_whole: bool) -> QueuedTask:
        """Return the task of a raw message, which has a body if it is whole."""
        return queued_task(message, self.sealer, is_whole=is_whole)

    def run(self, queue: str, task_id: str) -> None:
        """Have a task attempted now. Errors are those of `task`."""
        self._change("run_task", self.name(queue, task_id))

    def due(self, queue: str, until: dt.datetime | None) -> Sequence[str]:
        """Return the ids of tasks that are due by a time, or of all if None; at most 500.

        Those that are being attempted are left out. The first ten thousand of the queue are looked
        at, a thousand with a request. Errors are those of `tasks`.
        """
        found: list[str] = []
        after = ""
        for _ in range(_MOST_PAGES):
            page, _ = self.page(queue, size=MOST_COUNTED, after=after)
            found += [
                task.name.rpartition("/")[2]
                for task in page.tasks
                if not is_running(task) and (until is None or time_of(task.schedule_time) <= until)
            ]
            after = page.next_page_token
            if not after or len(found) >= MOST_RUN:
                break
        return found[:MOST_RUN]

    def cancel(self, queue: str, task_id: str) -> None:
        """Delete a task. Errors are those of `task`."""
        self._change("delete_task", self.name(queue, task_id))

    def pause(self, queue: str) -> None:
        """Dispatch nothing of a queue any more. Errors are those of `tasks`."""
        self._change("pause_queue", self.name(queue))

    def resume(self, queue: str) -> None:
        """Dispatch the tasks of a queue again. Errors are those of `tasks`."""
        self._change("resume_queue", self.name(queue))

    def purge(self, queue: str) -> None:
        """Delete all tasks of a queue for good. Errors are those of `tasks`."""
        self._change("purge_queue", self.name(queue))

    def name(self, queue: str, task_id: str = "") -> str:
        """Return the full name of a queue, or of a task in it."""
        name = f"{self.parent}/queues/{queue}"
        return f"{name}/tasks/{task_id}" if task_id else name

    def _change(self, method: str, name: str) -> None:
        with _translated(name):
            self.count(1)
            getattr(self.client(), method)(name=name, timeout=_TIMEOUT)

    def _state(self, queue: tasks_v2beta3.Queue) -> QueueState:
        name, stats = queue.name.rpartition("/")[2], queue.stats
        next_attempt = _Queue.pb(queue).stats.oldest_estimated_arrival_time
        tasks = self.page(name, size=MOST_COUNTED)[0].tasks
        return QueueState(
            name=name,
            state=queue.state.name,
            waiting=stats.tasks_count,
            running=stats.concurrent_dispatches_count,
            failing=sum(1 for task in tasks if last_status(task)),
            oldest=min((time_of(task.create_time) for task in tasks), default=None),
            next_attempt=time_of(next_attempt) if next_attempt.ByteSize() else None,
            last_minute=stats.executed_last_minute_count,
            rate=queue.rate_limits.max_dispatches_per_second,
            at_once=queue.rate_limits.max_concurrent_dispatches,
            max_attempts=queue.retry_config.max_attempts,
        )


def _most(ask: Callable[[int], Any]) -> tuple[Any, bool]:
    """Return the answer with bodies if they may be seen, and whether it has them."""
    try:
        return ask(Task.View.FULL), True
    except PermissionDenied:
        return ask(Task.View.BASIC), False


@contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except NotFound as error:
        raise UnknownNameError(f"There is no {name}: {error.message}") from error
    except (GoogleAPIError, GoogleAuthError) as error:
        raise EnqueueError(f"Cloud Tasks refused or could not be reached: {error}") from error
