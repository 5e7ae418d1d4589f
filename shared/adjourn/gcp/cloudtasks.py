"""The task queue in Cloud Tasks."""

from __future__ import annotations

import datetime as dt
import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from adjourn.clock import Clock, SystemClock
from adjourn.concurrency import PerProcess, batches
from adjourn.errors import EnqueueError, QueueNotFoundError, TaskExistsError, UnavailableError
from adjourn.gcp.channels import local_channel
from adjourn.gcp.task_messages import messages
from adjourn.gcp.task_service import error_of, is_unknown_method, task_service, translated
from adjourn.log import event
from adjourn.ports import NewTask, Target, TaskState
from adjourn.retrying import doubling, retry
from adjourn.settings import Settings

if TYPE_CHECKING:
    from google.cloud.tasks_v2 import CloudTasksClient

# Cloud Tasks rejects a call whose deadline lies more than 30 s ahead (Google's own bridge,
# google/appengine/api/taskqueue/cloudtask.py, therefore waits 20 s).
_TIMEOUT = 20.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0  # seconds

Result = str | EnqueueError


@dataclass(kw_only=True, eq=False, repr=False)
class UnavailableRetry:
    """Retries a call while the service is unavailable, after growing random pauses."""

    clock: Clock = field(default_factory=SystemClock)
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random

    def __call__(self, call: Callable[[float], None], seconds: float) -> None:
        """Make a call until it does not raise UnavailableError, for some seconds at most.

        Args:
            call: Takes its timeout in seconds. That is half of `seconds` at most, so that a request
                that hangs leaves time for another.
            seconds: No pause ends later than this; then the last UnavailableError is raised.

        Raises:
            UnavailableError: The service stayed unavailable.
        """
        until = self.clock.monotonic() + seconds

        def pauses() -> Iterator[float]:
            for pause in doubling(_FIRST_PAUSE, _LONGEST_PAUSE):
                wait = pause * (0.5 + self.chance() / 2)
                if self.clock.monotonic() + wait >= until:
                    return
                yield wait

        retry(
            lambda: call(min(seconds / 2, until - self.clock.monotonic())),
            pauses=pauses(),
            is_transient=lambda error: isinstance(error, UnavailableError),
            sleep=self.sleep,
        )


class CloudTaskQueue:
    """Creates HTTP tasks for our functions on the queues of one project and region.

    If the region stays unavailable for half of the time, the fallback region is tried for the other
    half. A task may then be in both regions, if a creation in the first succeeded unanswered.
    """

    def __init__(self, settings: Settings, retry: UnavailableRetry | None = None) -> None:
        self._settings = settings
        self._retry_unavailable = retry or UnavailableRetry()
        self._service = PerProcess(lambda: task_service(settings))
        self._client = PerProcess(lambda: cloud_tasks_client(settings))
        self._has_batches = True
        self._regions = [*filter(None, (settings.location, settings.fallback_location))]
        self._urls = {
            Target.DEFERRED: settings.deferred_url,
            Target.QUERYITER: settings.queryiter_url,
        }

    def client(self) -> CloudTasksClient:
        """Return Google's own client of this process, which adjourn itself does without."""
        return self._client()

    def connect(self) -> None:
        """Import gRPC, find the credentials and prepare the channel of this process."""
        self._service()

    def enqueue(self, task: NewTask) -> str:
        """Create the task, with a token of the service account for the function's URL.

        Only the creation of a named task is retried, since the name prevents a second task.
        """
        (result,) = self._create([task])
        if isinstance(result, EnqueueError):
            raise result
        return result

    def enqueue_many(self, tasks: Sequence[NewTask]) -> list[str | EnqueueError]:
        """Create the tasks, up to 100 of a queue in one request."""
        results: dict[int, Result] = {}
        indexes = sorted(range(len(tasks)), key=lambda index: tasks[index].queue)
        for _, group in groupby(indexes, key=lambda index: tasks[index].queue):
            for batch in batches(group, weight=lambda index: len(tasks[index].body)):
                created = self._create([tasks[index] for index in batch])
                results |= zip(batch, created, strict=True)
        return [results[index] for index in range(len(tasks))]

    def _create(self, tasks: Sequence[NewTask]) -> Sequence[Result]:
        """Create tasks of one queue in the first region that can be reached."""
        results: dict[int, Result] = {}
        waiting = list(range(len(tasks)))
        for region in self._regions:
            created = self._create_in(region, [tasks[index] for index in waiting])
            results |= zip(waiting, created, strict=True)
            waiting = [i for i in waiting if isinstance(results[i], UnavailableError)]
            if not waiting:
                break
            event("queue.unavailable", logging.WARNING, f"Cloud Tasks is unavailable in {region}")
        return [results[index] for index in range(len(tasks))]

    def _create_in(self, region: str, tasks: Sequence[NewTask]) -> Sequence[Result]:
        """Create tasks of one queue; retry named ones while the service is unavailable."""
        results: dict[int, Result] = {}
        waiting = list(range(len(tasks)))

        def attempt(timeout: float) -> None:
            created = self._request(region, [tasks[index] for index in waiting], timeout)
            for index, result in zip(waiting, created, strict=True):
                # An earlier request, whose response was lost, has created the task.
                is_ours = index in results and isinstance(result, TaskExistsError)
                results[index] = self._name(region, tasks[index]) if is_ours else result
            waiting[:] = [
                index
                for index in waiting
                if tasks[index].name and isinstance(results[index], UnavailableError)
            ]
            if waiting:
                raise UnavailableError

        with suppress(UnavailableError):
            self._retry_unavailable(attempt, _TIMEOUT / len(self._regions))
        return [results[index] for index in range(len(tasks))]

    def _request(self, region: str, tasks: Sequence[NewTask], timeout: float) -> Sequence[Result]:
        """Request the creation of tasks; an error of the whole request is the result of each."""
        requests = [self._new(region, task) for task in tasks]
        if len(tasks) > 1 and self._has_batches:
            try:
                with translated(requests[0].parent):
                    return self._batch(requests, timeout)
            except EnqueueError as error:
                if not is_unknown_method(error):
                    return [error] * len(tasks)
                self._has_batches = False
        results: list[Result] = []
        for request in requests:
            try:
                with translated(request.parent):
                    created = self._service().create_task(request, timeout)
            except UnavailableError as error:
                # Requests for the other tasks would only use up the remaining time.
                return [*results, *[error] * (len(tasks) - len(results))]
            except EnqueueError as error:
                results.append(error)
            else:
                results.append(created.name)
        return results

    def _batch(self, requests: list[Any], timeout: float) -> Sequence[Result]:
        new, queue = messages(), requests[0].parent
        request = new["BatchCreateTasksRequest"](parent=queue, requests=requests)
        done = self._service().batch_create_tasks(request, timeout)
        if not done.done:
            raise UnavailableError("Cloud Tasks did not finish a batch.")
        metadata = new["BatchCreateTasksMetadata"].FromString(done.metadata.value)
        failed = {each.key: each.value for each in metadata.failed_requests}
        response = new["BatchCreateTasksResponse"].FromString(done.response.value)
        created = iter(response.tasks)
        return [
            error_of(failed[index], queue)
            if index in failed
            else error_of(done.error, queue)
            if done.error.code
            else next(created).name
            for index in range(len(requests))
        ]

    def full_name(self, queue: str, name: str) -> str:
        """Return `projects/…/locations/…/queues/…/tasks/…`."""
        return f"{self._queue(self._settings.location, queue)}/tasks/{name}"

    def fetch(self, full_name: str) -> TaskState | None:
        """Return the state of a task, None if the service no longer has it."""
        request = messages()["GetTaskRequest"](name=full_name)
        try:
            task = self._persistently(self._service().get_task, request)
        except QueueNotFoundError:
            return None
        start = task.schedule_time.ToDatetime(tzinfo=dt.UTC)
        status = task.last_attempt.response_status.message
        return TaskState(attempts=task.dispatch_count, last_status=status, next_start=start)

    def delete(self, full_name: str) -> bool:
        """Delete the task; return False if the service no longer has it."""
        request = messages()["DeleteTaskRequest"](name=full_name)
        try:
            self._persistently(self._service().delete_task, request)
        except QueueNotFoundError:
            return False
        return True

    def _persistently(self, call: Callable[[Any, float], Any], request: Any) -> Any:
        answers = []

        def attempt(timeout: float) -> None:
            with translated(request.name):
                answers.append(call(request, timeout))

        self._retry_unavailable(attempt, _TIMEOUT)
        return answers[-1]

    def _queue(self, region: str, queue: str) -> str:
        return f"projects/{self._settings.project}/locations/{region}/queues/{queue}"

    def _name(self, region: str, task: NewTask) -> str:
        return f"{self._queue(region, task.queue)}/tasks/{task.name}" if task.name else ""

    def _new(self, region: str, task: NewTask) -> Any:
        request = messages()["CreateTaskRequest"](parent=self._queue(region, task.queue))
        new, url = request.task, self._urls[task.target]
        new.name = self._name(region, task)
        new.http_request.url = f"{url}/{_path(task.label)}"
        new.http_request.headers.add(key="Content-Type", value="application/json")
        new.http_request.body = task.body
        new.http_request.oidc_token.service_account_email = self._settings.service_account
        new.http_request.oidc_token.audience = self._settings.audience_of(url)
        if task.eta:
            new.schedule_time.FromDatetime(task.eta)
        if task.timeout:
            new.dispatch_deadline.FromTimedelta(task.timeout)
        if task.min_backoff:
            new.retry_config.min_backoff.FromTimedelta(task.min_backoff)
        if task.max_backoff:
            new.retry_config.max_backoff.FromTimedelta(task.max_backoff)
        return request


def _path(label: str) -> str:
    """Return the last part of a task's URL; never /list or /execute/KEY, which are for users."""
    return "" if label == "list" else quote(label.replace("/", "."))


def cloud_tasks_client(settings: Settings) -> CloudTasksClient:
    """Return Google's own client, for what adjourn itself does not ask of Cloud Tasks."""
    from google.cloud.tasks_v2 import CloudTasksClient

    if not settings.tasks_host:
        return CloudTasksClient()
    # The client reads no emulator variable, so the channel is made here.
    from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

    channel = local_channel(settings.tasks_host)
    return CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
