"""The queues of a deployment and the tasks that wait in them, through Google's client."""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from google.api_core.exceptions import GoogleAPIError, NotFound, PermissionDenied
from google.auth.exceptions import GoogleAuthError
from google.cloud.tasks_v2 import CloudTasksClient, ListTasksRequest, Queue, Task

from adjourn.errors import EnqueueError, UnknownNameError
from adjourn.ports import Sealer
from adjourn_local.clients.call_text import call_lines

MOST_COUNTED = 1000
_TIMEOUT = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedTask:
    """A task that waits, or is being attempted.

    Attributes:
        name: Its full name.
        queue: Short name of its queue.
        task: The registered name of what it calls.
        call: The call in Python's syntax, or why it cannot be shown.
        created: When it was created.
        next_attempt: Earliest time of the next attempt.
        attempts: Attempts so far, including a running one.
        is_running: Whether an attempt has no answer yet.
        last_status: What the last answered attempt was answered; "" for none.
    """

    name: str
    queue: str
    task: str
    call: Sequence[str]
    created: dt.datetime
    next_attempt: dt.datetime
    attempts: int
    is_running: bool
    last_status: str

    @property
    def id(self) -> str:
        """The last part of its name."""
        return self.name.rpartition("/")[2]

    @property
    def has_failed(self) -> bool:
        """Whether an attempt has failed."""
        return bool(self.last_status)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPage:
    """Some tasks of a queue.

    Attributes:
        tasks: The tasks, in the order of the service: by name.
        next: The token of the next page; "" if this is the last.
        is_whole: Whether calls are shown; they are not without `cloudtasks.tasks.fullView`.
    """

    tasks: Sequence[QueuedTask]
    next: str
    is_whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """A queue.

    Attributes:
        name: Its short name.
        state: RUNNING, PAUSED or DISABLED.
        waiting: Tasks in it, counted up to a thousand.
        failing: Those of them of which an attempt has failed.
        running: Those of them that are being attempted.
        oldest: When the oldest of them was created; None without one.
        rate: Dispatches a second at most.
        at_once: Attempts at once at most.
        max_attempts: Attempts at a task at most; -1 for unlimited.
    """

    name: str
    state: str
    waiting: int
    failing: int
    running: int
    oldest: dt.datetime | None
    rate: float
    at_once: int
    max_attempts: int

    @property
    def has_more(self) -> bool:
        """Whether there are more tasks than were counted."""
        return self.waiting >= MOST_COUNTED


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Queues:
    """The queues of one project and region.

    Attributes:
        client: Returns the client of Cloud Tasks.
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
        with _translated(self.parent):
            self.count(1)
            found = list(self.client().list_queues(parent=self.parent, timeout=_TIMEOUT))
            return sorted((self._state(each) for each in found), key=lambda queue: queue.name)

    def names(self) -> Sequence[str]:
        """Return the short names of the queues. Errors are those of `list`."""
        with _translated(self.parent):
            self.count(1)
            found = self.client().list_queues(parent=self.parent, timeout=_TIMEOUT)
            return sorted(queue.name.rpartition("/")[2] for queue in found)

    def tasks(self, queue: str, *, size: int = 50, after: str = "") -> TaskPage:
        """Return some tasks of a queue.

        Raises:
            UnknownNameError: There is no such queue.
            EnqueueError: Cloud Tasks could not be reached or refused.
        """
        with _translated(queue):
            try:
                page = self._page(queue, size, after, Task.View.FULL)
            except PermissionDenied:
                page = self._page(queue, size, after, Task.View.BASIC)
                return TaskPage(tasks=self._rows(page), next=page.next_page_token, is_whole=False)
            return TaskPage(tasks=self._rows(page), next=page.next_page_token, is_whole=True)

    def task(self, queue: str, task_id: str) -> QueuedTask:
        """Return one task.

        Raises:
            UnknownNameError: It has ended, or never was.
            EnqueueError: Cloud Tasks could not be reached or refused.
        """
        name = self.name(queue, task_id)
        with _translated(name):
            self.count(1)
            request = {"name": name, "response_view": Task.View.FULL}
            return self._row(self.client().get_task(request=request, timeout=_TIMEOUT))

    def find(self, queue: str, task_id: str) -> QueuedTask | None:
        """Return one task, None if it has ended. Other errors are those of `task`."""
        try:
            return self.task(queue, task_id)
        except UnknownNameError:
            return None

    def run(self, queue: str, task_id: str) -> None:
        """Have a task attempted now. Errors are those of `task`."""
        self._change("run_task", self.name(queue, task_id))

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

    def _page(self, queue: str, size: int, after: str, view: int) -> Any:
        self.count(1)
        request = ListTasksRequest(
            parent=self.name(queue), page_size=size, page_token=after, response_view=view
        )
        return next(iter(self.client().list_tasks(request=request, timeout=_TIMEOUT).pages))

    def _state(self, queue: Queue) -> QueueState:
        name = queue.name.rpartition("/")[2]
        tasks = self._page(name, MOST_COUNTED, "", Task.View.BASIC).tasks
        return QueueState(
            name=name,
            state=queue.state.name,
            waiting=len(tasks),
            failing=sum(1 for task in tasks if _status(task)),
            running=sum(1 for task in tasks if _is_running(task)),
            oldest=min((_time(task.create_time) for task in tasks), default=None),
            rate=queue.rate_limits.max_dispatches_per_second,
            at_once=queue.rate_limits.max_concurrent_dispatches,
            max_attempts=queue.retry_config.max_attempts,
        )

    def _rows(self, page: Any) -> Sequence[QueuedTask]:
        return [self._row(task) for task in page.tasks]

    def _row(self, task: Task) -> QueuedTask:
        body, queue, name = (
            task.http_request.body,
            task.name.split("/")[-3],
            task.name.split("/")[-1],
        )
        return QueuedTask(
            name=task.name,
            queue=queue,
            task=task.http_request.url.rpartition("/")[2],
            call=call_lines(body, self.sealer, queue, name) if body else (),
            created=_time(task.create_time),
            next_attempt=_time(task.schedule_time),
            attempts=task.dispatch_count,
            is_running=_is_running(task),
            last_status=_status(task),
        )


def _status(task: Task) -> str:
    """Return what the last attempt was answered; "" if there was none, or it succeeded."""
    status = task.last_attempt.response_status
    return status.message or (f"code {status.code}" if status.code else "")


def _is_running(task: Task) -> bool:
    last = task.last_attempt
    return bool(task.dispatch_count and last.dispatch_time and not last.response_time)


def _time(stamp: Any) -> dt.datetime:
    at: dt.datetime = stamp.timestamp_pb().ToDatetime(tzinfo=dt.UTC)
    return at


@contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except NotFound as error:
        raise UnknownNameError(f"There is no {name}: {error.message}") from error
    except (GoogleAPIError, GoogleAuthError) as error:
        raise EnqueueError(f"Cloud Tasks refused or could not be reached: {error}") from error
