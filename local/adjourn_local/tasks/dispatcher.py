"""Dispatch the due tasks of all queues; everything runs on one event loop.

A task's row keeps its schedule time while an attempt is in flight. So a task whose attempt was cut
off by the end of this process is due again when the next one starts: delivery is at least once.
"""

import logging
from functools import partial

from adjourn_local.database import log_trouble
from adjourn_local.errors import StorageError
from adjourn_local.http.sender import Sender
from adjourn_local.tasks.active_queue import ActiveQueue
from adjourn_local.tasks.attempts import Attempts, Watch
from adjourn_local.tasks.counters import Tally
from adjourn_local.tasks.options import TasksOptions
from adjourn_local.tasks.queue_definition import QueueSettings
from adjourn_local.tasks.retry import (
    RETENTION,
)
from adjourn_local.tasks.task_record import TaskRecord
from adjourn_local.tasks.task_request import TaskRequestBuilder
from adjourn_local.tasks.task_schedule import TaskSchedule
from adjourn_local.tasks.task_store import TaskStore
from adjourn_local.timing.clocks import StackClock
from adjourn_local.timing.timer import Timer
from adjourn_local.timing.timestamps import SECOND, micros, write

_log = logging.getLogger(__name__)

_AFTER_TROUBLE = SECOND


class Dispatcher:
    """Dispatches the tasks of all queues."""

    def __init__(
        self,
        store: TaskStore,
        clock: StackClock,
        requests: TaskRequestBuilder,
        sender: Sender,
        options: TasksOptions,
    ) -> None:
        self._store = store
        self._clock = clock
        self._options = options
        self._attempts = Attempts(store, clock, requests, sender, self._dispatch_due)
        self._queues: dict[str, ActiveQueue] = {}
        self._newest: TaskRecord | None = None
        self._is_started = False

    def watch(self, watch: Watch) -> None:
        """Tell of every attempt that ends."""
        self._attempts.watch = watch

    @property
    def tally(self) -> Tally:
        """The totals of tasks and attempts."""
        return self._attempts.tally

    @property
    def in_flight(self) -> int:
        """The number of attempts that wait for a response."""
        return self._attempts.in_flight

    @property
    def running(self) -> int:
        """The number of tasks with an attempt in flight that were not deleted since."""
        return sum(not record.gone for record in self._attempts.records())

    def start(self) -> None:
        """Begin to dispatch."""
        self._is_started = True
        for queue in self._queues.values():
            self._dispatch_due(queue)

    def pause(self) -> None:
        """Stop dispatching; attempts in flight go on."""
        self._is_started = False
        for queue in self._queues.values():
            queue.timer.cancel()

    async def stop(self, grace: float) -> None:
        """Stop dispatching; wait `grace` seconds for attempts in flight, then cancel them."""
        self.pause()
        await self._attempts.stop(grace)

    def under_way(self) -> list[str]:
        """Return the last part of the URL, for our functions the handler, of each attempt."""
        return self._attempts.under_way()

    def open(self, name: str, settings: QueueSettings) -> None:
        """Add a queue, or change the settings of one."""
        now = micros(self._clock.now())
        queue = self._queues.get(name)
        if queue is None:
            schedule = TaskSchedule(partial(self._store.waiting, name))
            timer = Timer(self._clock, lambda: self._dispatch_due(self._queues[name]))
            queue = self._queues[name] = ActiveQueue(
                settings, schedule, timer, now, options=self._options
            )
        else:
            queue.change(settings, now)
            queue.timer.cancel()
        self._dispatch_due(queue)

    def queue(self, name: str) -> ActiveQueue:
        """Return a queue that was opened."""
        return self._queues[name]

    def close(self, name: str, up_to: int) -> None:
        """Remove a queue that is being deleted."""
        self.purge(name, up_to)
        self._queues.pop(name).timer.cancel()

    def purge(self, name: str, up_to: int) -> None:
        """Drop the tasks up to a number; results of attempts in flight are ignored."""
        self._queues[name].purged_up_to = up_to
        for record in self._attempts.records():
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
        return self._attempts.record(record.id) or record

    def run(self, record: TaskRecord) -> None:
        """Dispatch a task now, regardless of its queue's state and limits."""
        now = micros(self._clock.now())
        write(record.task.schedule_time, now)
        queue = self._queues[record.queue]
        if self._is_started:
            self._attempts.start(queue, record, now, forced=True)
        else:
            self._store.update(record)
            queue.schedule.add((record.due, record.id))

    def _dispatch_due(self, queue: ActiveQueue) -> None:
        """Dispatch the tasks of a queue that may go now, and set its timer for the next one."""
        now = micros(self._clock.now())
        try:
            self._dispatch_ready(queue, now)
        except StorageError as error:
            log_trouble(_log, error, "Tasks wait until it can.")
            queue.timer.set(now + _AFTER_TROUBLE)

    def _dispatch_ready(self, queue: ActiveQueue, now: int) -> None:
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
                self._attempts.start(queue, record, now)

    def _take(self, queue: ActiveQueue, now: int) -> TaskRecord | None:
        due, id_ = entry = queue.schedule.pop()
        if id_ <= queue.purged_up_to:
            return None
        record = self._attempts.record(id_)
        if record is None and self._newest is not None and self._newest.id == id_:
            record = self._newest
        try:
            record = record or self._store.load(id_)
        except StorageError:
            queue.schedule.add(entry)
            raise
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
