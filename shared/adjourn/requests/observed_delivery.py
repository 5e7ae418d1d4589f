"""Spans and metrics of what the functions receive, in processes that use OpenTelemetry's SDK."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adjourn.clock import Clock
from adjourn.errors import TaskTimeoutError
from adjourn.execution.delivery import Delivery, Outcome
from adjourn.telemetry import conventions as names
from adjourn.telemetry.flushing import flush
from adjourn.telemetry.observation import Observation

# Of these there is neither a span nor a metric: anybody could make any number of them.
_REFUSED = {
    Outcome.UNAUTHENTICATED,
    Outcome.FORBIDDEN,
    Outcome.TOO_LONG,
    Outcome.BROKEN,
    Outcome.SLOW,
}
# BUSY is none: the work is done, or has its turn later.
_FAILURES = {Outcome.DEAD, Outcome.FAILED, Outcome.UNKNOWN, Outcome.TROUBLE}


def observed_task(
    delivery: Delivery, receive: Callable[[], Outcome], clock: Clock, seconds: float
) -> Outcome:
    """Return the outcome of a task, after making a span of it.

    Args:
        delivery: The task.
        receive: Receives it.
        clock: The time.
        seconds: How long to wait at most until the span is exported; 0 not to export it here.
    """
    attempt = delivery.attempt
    attributes = {
        names.MESSAGE_ID: delivery.task_name,
        names.RETRY_COUNT: attempt.retry_count,
        names.EXECUTION_COUNT: attempt.execution_count,
    }
    task = Observation("process", names.CLOUD_TASKS, delivery.queue, attributes, clock)
    return _observed(task, receive, seconds)


def observed_tick(
    delivery: Delivery, receive: Callable[[], Outcome], clock: Clock, seconds: float
) -> Outcome:
    """Return the outcome of a call of Cloud Scheduler, as `observed_task` does that of a task."""
    cron_name, due = delivery.path.strip("/"), delivery.scheduled
    attributes: dict[str, Any] = {names.FAAS_TRIGGER: "timer"}
    if due is not None:
        attributes[names.FAAS_TIME] = due.isoformat()
    tick = Observation("tick", names.CLOUD_SCHEDULER, cron_name, attributes, clock)

    def described() -> Outcome:
        tick.describe(cron_name, due=due)
        return receive()

    return _observed(tick, described, seconds)


def _observed(observation: Observation, receive: Callable[[], Outcome], seconds: float) -> Outcome:
    with observation:
        outcome = receive()
        if outcome in _REFUSED:
            return outcome
        observation.end(
            outcome.name.lower(),
            is_failure=outcome in _FAILURES,
            is_dead=outcome is Outcome.DEAD,
        )
    if seconds:
        # What has used up its time must be answered at once, to count as an execution.
        flush(0 if isinstance(observation.error, TaskTimeoutError) else seconds)
    return outcome
