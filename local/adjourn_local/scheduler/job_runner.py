"""Start due jobs, send their attempts and store the results.

Invariant: a job has at most one scheduled execution at a time. Everything that must survive a
restart is stored before a request is sent.
"""

import asyncio
import datetime as dt
import logging
from dataclasses import replace
from typing import Any

from adjourn_local.database import log_trouble
from adjourn_local.errors import StorageError
from adjourn_local.http.http_status import is_success
from adjourn_local.http.sender import HandlerResponse, Sender
from adjourn_local.scheduler.execution import (
    Execution,
    next_attempt,
    policy_of,
    status_of,
)
from adjourn_local.scheduler.job_request import JobRequestBuilder
from adjourn_local.scheduler.job_store import JobEntry, JobStore
from adjourn_local.scheduler.start_times import counts_from_end, latest_tick, next_tick
from adjourn_local.timing.clocks import StackClock
from adjourn_local.timing.timer import Timer
from adjourn_local.timing.timestamps import micros

_log = logging.getLogger(__name__)

_AFTER_TROUBLE = dt.timedelta(seconds=5)
_AGAIN = 1.0
_UNAVAILABLE = 503
_LOST = HandlerResponse(status=None, error="UNAVAILABLE", retry_after=None)


class JobRunner:
    """Runs the jobs of a store."""

    def __init__(
        self,
        store: JobStore,
        clock: StackClock,
        requests: JobRequestBuilder,
        sender: Sender,
        *,
        skips_overlapping: bool,
    ) -> None:
        self._store = store
        self._clock = clock
        self._requests = requests
        self._sender = sender
        self._skips_overlapping = skips_overlapping
        self._timer = Timer(clock, self._wake)
        self._in_flight: set[asyncio.Task[None]] = set()
        self._is_running = False

    def start(self) -> None:
        """Begin to run jobs; attempts that the last run of the stack left in flight have failed.

        Scheduled starts that were missed in between are skipped, and the retries before them end.
        """
        for execution in self._store.in_flight():
            self._settle(execution, _LOST)
        now = self._clock.now()
        for entry in self._store.every():
            if entry.tick is not None and entry.tick <= now:
                self._store.forget_waiting(entry.job.name)
                self._store.put(replace(entry, tick=next_tick(entry.job, now)))
        self._is_running = True
        self.recover()

    def recover(self) -> None:
        """Recompute the next starts after the clock was set back, so that no job waits too long."""
        now = self._clock.now()
        for entry in self._store.every():
            if entry.tick is not None and (tick := next_tick(entry.job, now)) < entry.tick:
                self._store.put(replace(entry, tick=tick))
        self.run_due()

    @property
    def in_flight(self) -> int:
        """The number of attempts that wait for a response."""
        return len(self._in_flight)

    def pause(self) -> None:
        """Start nothing more; attempts in flight go on."""
        self._is_running = False
        self._timer.cancel()

    async def stop(self) -> None:
        """Cancel the attempts in flight; the next start of the stack counts them as failed."""
        self.pause()
        attempts = list(self._in_flight)
        for attempt in attempts:
            attempt.cancel()
        await asyncio.gather(*attempts, return_exceptions=True)

    def run_due(self) -> None:
        """Start due executions and retries, and set the timer for the next ones."""
        if not self._is_running:
            return
        now = self._clock.now()
        for entry in self._store.due_jobs(now):
            self._begin(entry, now)
        for execution in self._store.due_retries(now):
            self._retry(execution, now)
        due = self._store.next_due()
        if due is not None:
            self._timer.set(micros(due))

    def _wake(self) -> None:
        try:
            self.run_due()
        except StorageError as error:
            log_trouble(_log, error, "Due jobs are started later.")
            self._timer.set(micros(self._clock.now() + _AFTER_TROUBLE))
        except Exception:  # noqa: BLE001 - later jobs must run after any error
            _log.exception("the scheduler could not start due jobs; trying again")
            self._timer.set(micros(self._clock.now() + _AFTER_TROUBLE))

    async def idle(self) -> None:
        """Wait until all due attempts have been sent and answered."""
        self.run_due()
        while self._in_flight:
            await asyncio.wait(self._in_flight)
            self.run_due()

    def run_now(self, entry: JobEntry) -> None:
        """Start a job outside of its schedule, regardless of running executions."""
        now = self._clock.now()
        upcoming = entry.tick or next_tick(entry.job, now)
        self._launch(entry, scheduled=upcoming, is_manual=True, now=now)

    def _begin(self, entry: JobEntry, now: dt.datetime) -> None:
        if entry.tick is None:
            return
        self._store.forget_waiting(entry.job.name)
        # Several missed starts, after an overlap or a jump of the clock, count as one: the last.
        scheduled = latest_tick(entry.job, entry.tick, now)
        following = replace(entry, tick=next_tick(entry.job, max(now, entry.tick)))
        self._launch(following, scheduled=scheduled, is_manual=False, now=now)

    def _launch(
        self, entry: JobEntry, *, scheduled: dt.datetime, is_manual: bool, now: dt.datetime
    ) -> None:
        entry.job.last_attempt_time.FromDatetime(now)
        new = Execution(
            id=0,
            job=entry.job.name,
            scheduled=scheduled,
            is_manual=is_manual,
            began=now,
            attempts=1,
        )
        self._dispatch(entry.job, self._store.begin(entry, new))

    def _retry(self, waiting: Execution, now: dt.datetime) -> None:
        entry = self._store.get(waiting.job)
        if entry is None:
            return
        entry.job.last_attempt_time.FromDatetime(now)
        execution = replace(waiting, attempts=waiting.attempts + 1, retry_at=None)
        self._store.proceed(entry, execution)
        self._dispatch(entry.job, execution)

    def _dispatch(self, job: Any, execution: Execution) -> None:
        _log.debug("AttemptStarted %s, attempt %d", job.name, execution.attempts)
        attempt = asyncio.create_task(self._attempt(job, execution))
        self._in_flight.add(attempt)
        attempt.add_done_callback(self._in_flight.discard)

    async def _attempt(self, job: Any, execution: Execution) -> None:
        try:
            async with self._sender.turn():
                outgoing = await self._requests.build(job, execution.scheduled)
                deadline = job.attempt_deadline.ToTimedelta().total_seconds()
                response = await self._sender.send(outgoing, deadline)
        except Exception:  # noqa: BLE001 - the job must not stay in flight for ever
            _log.exception("the attempt of %s failed inside the stack", job.name)
            response = _LOST
        while not self._is_settled(execution, response):  # noqa: ASYNC110 - no disk tells
            await asyncio.sleep(_AGAIN)
        self._wake()

    def _is_settled(self, execution: Execution, response: HandlerResponse) -> bool:
        try:
            self._settle(execution, response)
        except StorageError as error:
            log_trouble(_log, error, f"The result of {execution.job} is stored later.")
            return False
        return True

    def _settle(self, execution: Execution, response: HandlerResponse) -> None:
        entry = self._store.get(execution.job)
        if entry is None or self._store.execution(execution.id) is None:
            return
        now = self._clock.now()
        job = entry.job
        job.status.code, job.status.message = status_of(response)
        if job.HasField("app_engine_http_target") and response.status == _UNAVAILABLE:
            # A 503 of App Engine itself does not count as an attempt (`AppEngineHttpTarget`).
            execution = replace(execution, attempts=execution.attempts - 1)
        _log.log(
            logging.DEBUG if is_success(response) else logging.WARNING,
            "AttemptFinished %s, %s",
            *(job.name, job.status.message or "OK"),
        )
        retry_at = None
        if not is_success(response) and entry.tick is not None:
            retry_at = next_attempt(
                policy_of(job.retry_config),
                execution,
                now=now,
                next_tick=None if counts_from_end(job) else entry.tick,
            )
        entry = self._after(entry, execution, retry_at or now)
        if retry_at is None:
            self._store.finish(entry, execution)
        else:
            self._store.proceed(entry, replace(execution, retry_at=retry_at))

    def _after(self, entry: JobEntry, execution: Execution, end: dt.datetime) -> JobEntry:
        """Return the entry of a job with its next start, after an execution that ends at `end`."""
        if entry.tick is None:
            return entry
        is_late = self._skips_overlapping and entry.tick <= self._clock.now()
        if is_late or (counts_from_end(entry.job) and not execution.is_manual):
            return replace(entry, tick=next_tick(entry.job, end))
        return entry
