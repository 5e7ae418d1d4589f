"""Sends due tasks to their workers and decides what follows; everything on one event loop.

A task's row keeps its schedule time while an attempt is in flight, so whatever this process was
doing when it died is due again when the next one starts: at least once, never less.
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
from adjourn_local.tasks.task_request import TaskRequestWriter
from adjourn_local.tasks.task_schedule import TaskSchedule
from adjourn_local.tasks.task_store import TaskStore
from adjourn_local.timing.clocks import StackClock
from adjourn_local.timing.timer import Timer
from adjourn_local.timing.timestamps import SECOND, micros, read, write

_log = logging.getLogger(__name__)


class Dispatcher:
    """Runs the queues of one server; `tally` counts what it does."""

    def __init__(
        self,
        store: TaskStore,
        clock: StackClock,
        writer: TaskRequestWriter,
        sender: Sender,
        options: TasksOptions,
    ) -> None:
        self.tally = Tally()
        self._store = store
        self._clock = clock
        self._writer = writer
        self._sender = sender
        self._options = options
        self._lines: dict[str, ActiveQueue] = {}
        self._running: dict[int, TaskRecord] = {}
        self._newest: TaskRecord | None = None
        self._attempts: set[asyncio.Task[None]] = set()
        self._is_started = False

    @property
    def in_flight(self) -> int:
        """The number of attempts that have no answer yet."""
        return len(self._attempts)

    @property
    def running(self) -> int:
        """The number of tasks, not deleted meanwhile, that have an attempt in flight."""
        return sum(not record.gone for record in self._running.values())

    def start(self) -> None:
        """Dispatch from now on."""
        self._is_started = True
        for line in self._lines.values():
            self._pump(line)

    async def stop(self, grace: float) -> None:
        """Wait `grace` seconds for the attempts in flight and give back the others."""
        self._is_started = False
        for line in self._lines.values():
            line.alarm.cancel()
        if self._attempts:
            _, late = await asyncio.wait(self._attempts, timeout=grace)
            for attempt in late:
                attempt.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def open(self, name: str, settings: QueueSettings) -> None:
        """Begin to run a queue, or go on with it under other settings."""
        now = micros(self._clock.now())
        line = self._lines.get(name)
        if line is None:
            agenda = TaskSchedule(partial(self._store.waiting, name))
            alarm = Timer(self._clock, lambda: self._pump(self._lines[name]))
            line = self._lines[name] = ActiveQueue(
                name, settings, agenda, alarm, now, options=self._options
            )
        else:
            line.change(settings, now)
            line.alarm.cancel()
        self._pump(line)

    def close(self, name: str, up_to: int) -> None:
        """Stop running a queue that is being deleted."""
        self.purge(name, up_to)
        self._lines.pop(name).alarm.cancel()

    def purge(self, name: str, up_to: int) -> None:
        """Dispatch no task up to a number any more; what is in flight ends unheeded."""
        self._lines[name].purged = up_to
        for record in self._running.values():
            if record.queue == name:
                record.gone = True

    def arrived(self, record: TaskRecord) -> None:
        """Take up a task that has just been stored."""
        line = self._lines[record.queue]
        line.agenda.add((record.due, record.id))
        self._newest = record
        self._pump(line)
        self._newest = None

    def current(self, record: TaskRecord) -> TaskRecord:
        """Return the state of a task including what its attempts in flight have not written."""
        return self._running.get(record.id, record)

    def run(self, record: TaskRecord) -> None:
        """Dispatch a task now, whatever its queue's state and limits and its own attempts."""
        now = micros(self._clock.now())
        write(record.task.schedule_time, now)
        self._begin(self._lines[record.queue], record, now, forced=True)

    def _pump(self, line: ActiveQueue) -> None:
        """Dispatch what may go now and have the alarm ring when the next may."""
        now = micros(self._clock.now())
        while self._is_started and line.is_open():
            due = line.agenda.next_due()
            if due is None:
                return
            ready = line.ready_at(due, now)
            if ready > now:
                line.alarm.set(ready)
                return
            record = self._take(line, now)
            if record is not None:
                line.spend(now)
                self._begin(line, record, now)

    def _take(self, line: ActiveQueue, now: int) -> TaskRecord | None:
        due, id_ = line.agenda.pop()
        if id_ <= line.purged:
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
        """Delete a task that was kept for as long as the service keeps one."""
        self._store.end(record, micros(self._clock.now()))
        self.tally.exhausted += 1
        _log.warning(
            "task_expired queue=%s task=%s",
            record.queue,
            record.task_id,
            extra={"event": "task_expired", "queue": record.queue, "task": record.task_id},
        )

    def _begin(
        self, line: ActiveQueue, record: TaskRecord, now: int, *, forced: bool = False
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
        line.in_flight += 1
        self._running[record.id] = record
        self.tally.attempts += 1
        self.tally.retries += task.dispatch_count > 1
        attempt = asyncio.create_task(self._attempt(line, record, due, forced=forced))
        self._attempts.add(attempt)
        attempt.add_done_callback(self._attempts.discard)

    async def _attempt(
        self, line: ActiveQueue, record: TaskRecord, due: int, *, forced: bool
    ) -> None:
        try:
            answer = await self._deliver(line, record, due)
            self._settle(line, record, answer, since=due if forced else None)
        finally:
            line.in_flight -= 1
            record.running -= 1
            if not record.running:
                self._running.pop(record.id, None)
        self._pump(line)

    async def _deliver(self, line: ActiveQueue, record: TaskRecord, due: int) -> HandlerResponse:
        try:
            request = self._writer.write(record, due, line.settings)
            return await self._sender.send(request, deadline(record.task))
        except Exception:  # noqa: BLE001 - whatever breaks here, the task must not be lost
            _log.exception("attempt_broken queue=%s task=%s", record.queue, record.task_id)
            return HandlerResponse(status=None, error="UNAVAILABLE", retry_after=None)

    def _settle(
        self, line: ActiveQueue, record: TaskRecord, answer: HandlerResponse, *, since: int | None
    ) -> None:
        """Note what an attempt came to; a retry after RunTask counts from that call."""
        now = micros(self._clock.now())
        succeeded = is_success(answer)
        app_engine = record.task.HasField("app_engine_http_request")
        line.heard(answer, now, app_engine=app_engine)
        self.tally.succeeded += succeeded
        self.tally.failed += not succeeded
        if succeeded:
            self._store.end(record, now)
            return
        self._note_failure(record, answer, now, app_engine=app_engine)
        if record.gone:
            return
        task = record.task
        policy = line.settings.retry
        if task.HasField("retry_config"):
            policy = override(policy, task.retry_config)
        since_first = now - read(task.first_attempt.dispatch_time)
        age = now - record.created
        if is_exhausted(policy, attempts=task.dispatch_count, since_first=since_first, age=age):
            self._store.end(record, now)
            self.tally.exhausted += 1
            self._log_failure(line, record, answer, now, retry_in=None)
            return
        wait = delay(policy, attempts=task.dispatch_count, answer=answer)
        write(task.schedule_time, (now if since is None else since) + wait)
        record.waiting = True
        self._store.update(record)
        line.agenda.add((record.due, record.id))
        self._log_failure(line, record, answer, now, retry_in=wait)

    def _note_failure(
        self, record: TaskRecord, answer: HandlerResponse, now: int, *, app_engine: bool
    ) -> None:
        task = record.task
        task.response_count += answer.status is not None
        write(task.last_attempt.response_time, now)
        status = task.last_attempt.response_status
        status.code, status.message = response_status(answer)
        record.executions += counts_as_execution(answer)
        record.previous = previous_response(answer, app_engine=app_engine)

    def _log_failure(
        self,
        line: ActiveQueue,
        record: TaskRecord,
        answer: HandlerResponse,
        now: int,
        *,
        retry_in: int | None,
    ) -> None:
        # A task that is given up is a loss and always told; failures that are retried can be many.
        held_back = 0 if retry_in is None else line.log.ask(now)
        if held_back is None:
            return
        event = "task_exhausted" if retry_in is None else "attempt_failed"
        fields = {
            "queue": record.queue,
            "task": record.task_id,
            "attempt": record.task.dispatch_count,
            "outcome": answer.error or answer.status,
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
