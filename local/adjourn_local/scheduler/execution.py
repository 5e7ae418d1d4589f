"""Executions of a job, and the decision whether a failed attempt is retried."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from google.rpc import code_pb2  # type: ignore[import-untyped]

from adjourn_local.http.http_status import code_of, is_success
from adjourn_local.http.sender import HandlerResponse
from adjourn_local.timing.backoff import backoff

# Keeps the time of the retry within the range of datetime.
_LONGEST_WAIT = dt.timedelta(days=3660)


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One execution of a job: in flight, or waiting for a retry at `retry_at`.

    `scheduled` is the schedule time that all its attempts send to the handler.
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
    """A retry configuration with all defaults."""

    count: int
    duration: dt.timedelta
    min_backoff: dt.timedelta
    max_backoff: dt.timedelta
    doublings: int


def policy_of(config: Any) -> JobRetryPolicy:
    """Convert a RetryConfig message with all defaults."""
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
    """Return the time of the retry after a failed attempt, or None if the execution is given up.

    If both limits are set, retries end when both are reached. Without limits there is no retry
    (REST reference of RetryConfig; the client's documentation has the count only). Retries always
    end at the next scheduled start.
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


def status_of(response: HandlerResponse) -> tuple[int, str]:
    """Return the code and the message of an attempt's `google.rpc.Status`."""
    if is_success(response):
        return code_pb2.OK, ""
    if response.status is not None:
        return code_of(response.status), f"Original HTTP response code number = {response.status}"
    if response.error == "DEADLINE_EXCEEDED":
        return code_pb2.DEADLINE_EXCEEDED, "no response before the attempt deadline"
    return code_pb2.UNAVAILABLE, "no response"
