"""Attempts of tasks: send the request, then end or retry the task."""

import asyncio
import datetime as dt
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from adjourn_local.http.http_status import is_success
from adjourn_local.http.sender import HandlerResponse, Sender
from adjourn_local.tasks.active_queue import ActiveQueue
from adjourn_local.tasks.counters import Tally
from adjourn_local.tasks.retry import (
    counts_as_execution,
    delay,
    is_exhausted,
    override,
    previous_response,
    response_status,
)
from adjourn_local.tasks.task_definition import deadline
from adjourn_local.tasks.task_record import TaskRecord
from adjourn_local.tasks.task_request import TaskRequestBuilder
from adjourn_local.tasks.task_store import TaskStore
from adjourn_local.timing.clocks import StackClock
from adjourn_local.timing.timestamps import SECOND, micros, read, write

_log = logging.getLogger(__name__)

_LONGEST_WATCHED = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedAttempt:
    """An attempt that has an answer, or is not waited for any more.

    Attributes:
        queue: Full name of the queue.
        task_id: The task's id in it.
        url: Where the request went.
        number: 1 for the first attempt at the task.
        began_at: When it began, by the stack's clock.
        seconds: How long it took.
        response: What was answered.
        body: The body of the task, if that is short; else empty.
    """

    queue: str
    task_id: str
    url: str
    number: int
    began_at: dt.datetime
    seconds: float
    response: HandlerResponse
    body: bytes


Watch = Callable[[EndedAttempt], object]
"""Is told of every attempt that has ended."""


class Attempts:
    """The attempts in flight; `tally` counts attempts and their results, `watch` sees them.

    Args:
        store: Stores the results.
        clock: The stack's clock.
        requests: Builds the requests.
        sender: Sends the requests.
        on_end: Called with the queue after each attempt, which may make room for another.
    """

    def __init__(
        self,
        store: TaskStore,
        clock: StackClock,
        requests: TaskRequestBuilder,
        sender: Sender,
        on_end: Callable[[ActiveQueue], None],
    ) -> None:
        self.tally = Tally()
        self.watch: Watch | None = None
        self._store = store
        self._clock = clock
        self._requests = requests
        self._sender = sender
        self._on_end = on_end
        self._records: dict[int, TaskRecord] = {}
        self._in_flight: set[asyncio.Task[None]] = set()

    @property
    def in_flight(self) -> int:
        """The number of attempts that wait for a response."""
        return len(self._in_flight)

    def record(self, number: int) -> TaskRecord | None:
        """Return the task with a number if it has an attempt in flight."""
        return self._records.get(number)

    def records(self) -> Iterable[TaskRecord]:
        """Return the tasks with an attempt in flight."""
        return self._records.values()

    def under_way(self) -> list[str]:
        """Return the last part of the URL of each attempt in flight, or the task's id."""
        records = self._records.values()
        return [each.task.http_request.url.rpartition("/")[2] or each.task_id for each in records]

    async def stop(self, grace: float) -> None:
        """Wait `grace` seconds for the attempts in flight, then cancel them."""
        if self._in_flight:
            _, late = await asyncio.wait(self._in_flight, timeout=grace)
            for attempt in late:
                attempt.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def start(
        self, queue: ActiveQueue, record: TaskRecord, now: int, *, forced: bool = False
    ) -> None:
        """Start an attempt; after a `forced` one, back-off counts from the schedule time."""
        task = record.task
        due = record.due
        task.dispatch_count += 1
        if task.dispatch_count == 1:
            write(task.first_attempt.dispatch_time, now)
        task.last_attempt.Clear()
        write(task.last_attempt.schedule_time, due)
        write(task.last_attempt.dispatch_time, now)
        record.waiting = False
        record.running += 1
        queue.in_flight += 1
        self._records[record.id] = record
        self.tally.attempts += 1
        self.tally.retries += task.dispatch_count > 1
        attempt = asyncio.create_task(self._run(queue, record, due, forced=forced))
        self._in_flight.add(attempt)
        attempt.add_done_callback(self._in_flight.discard)

    async def _run(self, queue: ActiveQueue, record: TaskRecord, due: int, *, forced: bool) -> None:
        began, began_at = time.perf_counter(), self._clock.now()
        number = record.task.dispatch_count
        try:
            response = await self._deliver(queue, record, due)
            if self.watch:
                seconds = time.perf_counter() - began
                self.watch(_ended(record, number, began_at, seconds, response))
            self._settle(queue, record, response, since=due if forced else None)
        finally:
            queue.in_flight -= 1
            record.running -= 1
            if not record.running:
                self._records.pop(record.id, None)
        self._on_end(queue)

    async def _deliver(self, queue: ActiveQueue, record: TaskRecord, due: int) -> HandlerResponse:
        try:
            async with self._sender.turn():
                request = await self._requests.build(record, due, queue.settings)
                return await self._sender.send(request, deadline(record.task))
        except Exception:  # noqa: BLE001 - an error here must not lose the task
            _log.exception("attempt_broken queue=%s task=%s", record.queue, record.task_id)
            return HandlerResponse(status=None, error="UNAVAILABLE", retry_after=None)

    def _settle(
        self,
        queue: ActiveQueue,
        record: TaskRecord,
        response: HandlerResponse,
        *,
        since: int | None,
    ) -> None:
        """End or retry a task after an attempt; back-off counts from `since` if that is given."""
        now = micros(self._clock.now())
        succeeded = is_success(response)
        app_engine = record.task.HasField("app_engine_http_request")
        queue.note_response(response, now, app_engine=app_engine)
        queue.executed.add(now)
        self.tally.succeeded += succeeded
        self.tally.failed += not succeeded
        if succeeded:
            self._store.end(record, now)
            return
        self._note_failure(record, response, now, app_engine=app_engine)
        if record.gone:
            return
        task = record.task
        policy = queue.settings.retry
        if task.HasField("retry_config"):
            policy = override(policy, task.retry_config)
        since_first = now - read(task.first_attempt.dispatch_time)
        age = now - record.created
        if is_exhausted(policy, attempts=task.dispatch_count, since_first=since_first, age=age):
            self._store.end(record, now)
            self.tally.exhausted += 1
            self._log_failure(queue, record, response, now, retry_in=None)
            return
        wait = delay(policy, attempts=task.dispatch_count, response=response)
        write(task.schedule_time, (now if since is None else since) + wait)
        record.waiting = True
        self._store.update(record)
        queue.schedule.add((record.due, record.id))
        self._log_failure(queue, record, response, now, retry_in=wait)

    def _note_failure(
        self, record: TaskRecord, response: HandlerResponse, now: int, *, app_engine: bool
    ) -> None:
        task = record.task
        task.response_count += response.status is not None
        write(task.last_attempt.response_time, now)
        status = task.last_attempt.response_status
        status.code, status.message = response_status(response)
        record.executions += counts_as_execution(response)
        record.previous = previous_response(response, app_engine=app_engine)

    def _log_failure(
        self,
        queue: ActiveQueue,
        record: TaskRecord,
        response: HandlerResponse,
        now: int,
        *,
        retry_in: int | None,
    ) -> None:
        # A task that is given up is always logged; the number of other failures is limited.
        held_back = 0 if retry_in is None else queue.log.ask(now)
        if held_back is None:
            return
        fields = {
            "event": "task_exhausted" if retry_in is None else "attempt_failed",
            "queue": record.queue,
            "task": record.task_id,
            "attempt": record.task.dispatch_count,
            "outcome": response.error or response.status,
            "status": response.status,
            "url": record.task.http_request.url,
            "retry_in": None if retry_in is None else retry_in / SECOND,
            "held_back": held_back,
        }
        _log.log(
            logging.ERROR if retry_in is None else logging.WARNING,
            "Task %s of %s, attempt %d: %s; %s%s",
            record.task_id,
            record.queue.rpartition("/")[2],
            record.task.dispatch_count,
            f"answered {response.status}" if response.status else f"no answer ({response.error})",
            "given up" if retry_in is None else f"tried again in {retry_in / SECOND:g} s",
            f" ({held_back} more failures are not shown)" if held_back else "",
            extra=fields,
        )


def _ended(
    record: TaskRecord,
    number: int,
    began_at: dt.datetime,
    seconds: float,
    response: HandlerResponse,
) -> EndedAttempt:
    request = record.task.http_request
    body = request.body
    return EndedAttempt(
        queue=record.queue,
        task_id=record.task_id,
        url=request.url,
        number=number,
        began_at=began_at,
        seconds=seconds,
        response=response,
        body=body if len(body) <= _LONGEST_WATCHED else b"",
    )
