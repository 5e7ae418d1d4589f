"""Send due tasks to their handlers, and retry or end them; everything runs on one event loop.

A task's row keeps its schedule time while an attempt is in flight. So a task whose attempt was cut
off by the end of this process is due again when the next one starts: delivery is at least once.
"""

import asyncio
import logging
from functools import partial

from adjourn_local.http.http_status import is_success
from adjourn_local.http.sender import HandlerResponse, Sender
from adjourn_local.tasks.active_queue import ActiveQueue
from adjourn_local.tasks.counters import Tally
from adjourn_local.tasks.options import TasksOptions
from adjourn_local.tasks.queue_definition import QueueSettings
from adjourn_local.tasks.retry import (
    RETENTION,
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
from adjourn_local.tasks.task_schedule import TaskSchedule
from adjourn_local.tasks.task_store import TaskStore
from adjourn_local.timing.clocks import StackClock
from adjourn_local.timing.timer import Timer
from adjourn_local.timing.timestamps import SECOND, micros, read, write

_log = logging.getLogger(__name__)


class Dispatcher:
    """Dispatches the tasks of all queues; `tally` counts its attempts and their results."""

    def __init__(
        self,
        store: TaskStore,
        clock: StackClock,
        requests: TaskRequestBuilder,
        sender: Sender,
        options: TasksOptions,
    ) -> None:
        self.tally = Tally()
        self._store = store
        self._clock = clock
        self._requests = requests
        self._sender = sender
        self._options = options
        self._queues: dict[str, ActiveQueue] = {}
        self._running: dict[int, TaskRecord] = {}
        self._newest: TaskRecord | None = None
        self._attempts: set[asyncio.Task[None]] = set()
        self._is_started = False

    @property
    def in_flight(self) -> int:
        """The number of attempts that have no response yet."""
        return len(self._attempts)

    @property
    def running(self) -> int:
        """The number of tasks with an attempt in flight that were not deleted since."""
        return sum(not record.gone for record in self._running.values())

    def start(self) -> None:
        """Begin to dispatch."""
        self._is_started = True
        for queue in self._queues.values():
            self._dispatch_due(queue)

    async def stop(self, grace: float) -> None:
        """Stop dispatching; wait `grace` seconds for attempts in flight, then cancel them."""
        self._is_started = False
        for queue in self._queues.values():
            queue.timer.cancel()
        if self._attempts:
            _, late = await asyncio.wait(self._attempts, timeout=grace)
            for attempt in late:
                attempt.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def open(self, name: str, settings: QueueSettings) -> None:
        """Add a queue, or change the settings of one."""
        now = micros(self._clock.now())
        queue = self._queues.get(name)
        if queue is None:
            schedule = TaskSchedule(partial(self._store.waiting, name))
            timer = Timer(self._clock, lambda: self._dispatch_due(self._queues[name]))
            queue = self._queues[name] = ActiveQueue(
                name, settings, schedule, timer, now, options=self._options
            )
        else:
            queue.change(settings, now)
            queue.timer.cancel()
        self._dispatch_due(queue)

    def close(self, name: str, up_to: int) -> None:
        """Remove a queue that is being deleted."""
        self.purge(name, up_to)
        self._queues.pop(name).timer.cancel()

    def purge(self, name: str, up_to: int) -> None:
        """Drop the tasks up to a number; results of attempts in flight are ignored."""
        self._queues[name].purged_up_to = up_to
        for record in self._running.values():
            if record.queue == name:
                record.gone = True

    def arrived(self, record: TaskRecord) -> None:
        """Schedule a task that has just been stored."""
        queue = self._queues[record.queue]
        queue.schedule.add((record.due, record.id))
        self._newest = record
        self._dispatch_due(queue)
        self._newest = None

    def current(self, record: TaskRecord) -> TaskRecord:
        """Return a task's latest state, which its attempts in flight may not have stored."""
        return self._running.get(record.id, record)

    def run(self, record: TaskRecord) -> None:
        """Dispatch a task now, regardless of its queue's state and limits."""
        now = micros(self._clock.now())
        write(record.task.schedule_time, now)
        self._start_attempt(self._queues[record.queue], record, now, forced=True)

    def _dispatch_due(self, queue: ActiveQueue) -> None:
        """Dispatch the tasks of a queue that may go now, and set its timer for the next one."""
        now = micros(self._clock.now())
        while self._is_started and queue.can_dispatch():
            due = queue.schedule.next_due()
            if due is None:
                return
            ready = queue.ready_at(due, now)
            if ready > now:
                queue.timer.set(ready)
                return
            record = self._take(queue, now)
            if record is not None:
                queue.take_token(now)
                self._start_attempt(queue, record, now)

    def _take(self, queue: ActiveQueue, now: int) -> TaskRecord | None:
        due, id_ = queue.schedule.pop()
        if id_ <= queue.purged_up_to:
            return None
        record = self._running.get(id_)
        if record is None and self._newest is not None and self._newest.id == id_:
            record = self._newest
        record = record or self._store.load(id_)
        if record is None or record.gone or not record.waiting or record.due != due:
            return None
        if now - record.created >= RETENTION:
            self.expire(record)
            return None
        return record

    def expire(self, record: TaskRecord) -> None:
        """Delete a task that is older than the retention time."""
        self._store.end(record, micros(self._clock.now()))
        self.tally.exhausted += 1
        _log.warning(
            "task_expired queue=%s task=%s",
            record.queue,
            record.task_id,
            extra={"event": "task_expired", "queue": record.queue, "task": record.task_id},
        )

    def _start_attempt(
        self, queue: ActiveQueue, record: TaskRecord, now: int, *, forced: bool = False
    ) -> None:
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
        self._running[record.id] = record
        self.tally.attempts += 1
        self.tally.retries += task.dispatch_count > 1
        attempt = asyncio.create_task(self._attempt(queue, record, due, forced=forced))
        self._attempts.add(attempt)
        attempt.add_done_callback(self._attempts.discard)

    async def _attempt(
        self, queue: ActiveQueue, record: TaskRecord, due: int, *, forced: bool
    ) -> None:
        try:
            response = await self._deliver(queue, record, due)
            self._settle(queue, record, response, since=due if forced else None)
        finally:
            queue.in_flight -= 1
            record.running -= 1
            if not record.running:
                self._running.pop(record.id, None)
        self._dispatch_due(queue)

    async def _deliver(self, queue: ActiveQueue, record: TaskRecord, due: int) -> HandlerResponse:
        try:
            request = self._requests.build(record, due, queue.settings)
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
        """End or retry a task after an attempt; after RunTask the back-off counts from `since`."""
        now = micros(self._clock.now())
        succeeded = is_success(response)
        app_engine = record.task.HasField("app_engine_http_request")
        queue.note_response(response, now, app_engine=app_engine)
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
        event = "task_exhausted" if retry_in is None else "attempt_failed"
        fields = {
            "queue": record.queue,
            "task": record.task_id,
            "attempt": record.task.dispatch_count,
            "outcome": response.error or response.status,
            "retry_in": None if retry_in is None else retry_in / SECOND,
            "held_back": held_back,
        }
        _log.log(
            logging.ERROR if retry_in is None else logging.WARNING,
            "%s %s",
            event,
            " ".join(f"{name}={value}" for name, value in fields.items() if value is not None),
            extra={"event": event, **fields},
        )
