"""One start of a job with all its attempts, and whether another attempt follows a failed one."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from google.rpc import code_pb2  # type: ignore[import-untyped]

from adjourn_local.http.http_status import code_of, is_success
from adjourn_local.http.sender import HandlerResponse
from adjourn_local.timing.backoff import backoff

# A back-off may be longer than what is left of the calendar.
_LONGEST_WAIT = dt.timedelta(days=3660)


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """A start of a job: in flight, or waiting for its next attempt at `retry_at`.

    `scheduled` is what the handler is told as its schedule time, the same at every attempt.
    """

    id: int
    job: str
    scheduled: dt.datetime
    is_manual: bool
    began: dt.datetime
    attempts: int = 0
    retry_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRetryPolicy:
    """A retry configuration in which every field has its value."""

    count: int
    duration: dt.timedelta
    min_backoff: dt.timedelta
    max_backoff: dt.timedelta
    doublings: int


def policy_of(config: Any) -> JobRetryPolicy:
    """Return the policy that a complete RetryConfig message describes."""
    return JobRetryPolicy(
        count=config.retry_count,
        duration=config.max_retry_duration.ToTimedelta(),
        min_backoff=config.min_backoff_duration.ToTimedelta(),
        max_backoff=config.max_backoff_duration.ToTimedelta(),
        doublings=config.max_doublings,
    )


def next_attempt(
    policy: JobRetryPolicy, execution: Execution, *, now: dt.datetime, next_tick: dt.datetime | None
) -> dt.datetime | None:
    """Return when an execution that just failed is attempted again, or None if it is given up.

    With both limits set it goes on until both are reached; with neither there is no retry (the
    REST reference of RetryConfig; the client's text knows the count only). Whatever the limits, it
    ends at the next scheduled start.
    """
    count_is_left = execution.attempts <= policy.count
    time_is_left = now - execution.began < policy.duration
    if not (count_is_left or time_is_left):
        return None
    seconds = backoff(
        max(1, execution.attempts),
        minimum=policy.min_backoff.total_seconds(),
        maximum=policy.max_backoff.total_seconds(),
        doublings=policy.doublings,
    )
    at = now + min(dt.timedelta(seconds=seconds), _LONGEST_WAIT)
    return None if next_tick is not None and at >= next_tick else at


def status_of(answer: HandlerResponse) -> tuple[int, str]:
    """Return code and message of the `google.rpc.Status` that an attempt ended with."""
    if is_success(answer):
        return code_pb2.OK, ""
    if answer.status is not None:
        return code_of(answer.status), f"Original HTTP response code number = {answer.status}"
    if answer.error == "DEADLINE_EXCEEDED":
        return code_pb2.DEADLINE_EXCEEDED, "no answer before the attempt deadline"
    return code_pb2.UNAVAILABLE, "no answer"
