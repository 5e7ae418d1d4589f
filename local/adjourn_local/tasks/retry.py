"""Decide whether and when a failed attempt is retried."""

from dataclasses import dataclass
from typing import Any

from google.rpc import code_pb2  # type: ignore[import-untyped]

from adjourn_local.http.http_status import code_of, is_success
from adjourn_local.http.sender import HandlerResponse
from adjourn_local.timing.backoff import backoff
from adjourn_local.timing.timestamps import DAY, SECOND, read

RETENTION = 31 * DAY

_TOO_MANY_REQUESTS = 429
_UNAVAILABLE = 503
_GATEWAY_TIMEOUT = 504


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRetryPolicy:
    """A retry configuration with all defaults; times are in microseconds."""

    max_attempts: int
    max_duration: int
    min_backoff: int
    max_backoff: int
    max_doublings: int


def policy_of(config: Any) -> TaskRetryPolicy:
    """Convert a RetryConfig message with all defaults."""
    return TaskRetryPolicy(
        max_attempts=config.max_attempts,
        max_duration=read(config.max_retry_duration),
        min_backoff=read(config.min_backoff),
        max_backoff=read(config.max_backoff),
        max_doublings=config.max_doublings,
    )


def override(policy: TaskRetryPolicy, config: Any) -> TaskRetryPolicy:
    """Apply a task's RetryConfig to the queue's policy; unset fields keep the queue's values."""
    return TaskRetryPolicy(
        max_attempts=config.max_attempts or policy.max_attempts,
        max_duration=read(config.max_retry_duration)
        if config.HasField("max_retry_duration")
        else policy.max_duration,
        min_backoff=read(config.min_backoff)
        if config.HasField("min_backoff")
        else policy.min_backoff,
        max_backoff=read(config.max_backoff)
        if config.HasField("max_backoff")
        else policy.max_backoff,
        max_doublings=config.max_doublings or policy.max_doublings,
    )


def is_exhausted(policy: TaskRetryPolicy, *, attempts: int, since_first: int, age: int) -> bool:
    """Return whether a task that has just failed is given up.

    If both limits are set, both must be reached (`RetryConfig.max_attempts`). Without limits, a
    task is retried until the retention time ends.
    """
    if age >= RETENTION:
        return True
    limits = []
    if policy.max_attempts > 0:
        limits.append(attempts >= policy.max_attempts)
    if policy.max_duration > 0:
        limits.append(since_first >= policy.max_duration)
    return bool(limits) and all(limits)


def delay(policy: TaskRetryPolicy, *, attempts: int, response: HandlerResponse) -> int:
    """Return the microseconds until the next attempt, after `attempts` have failed.

    Documented is that Retry-After counts on 429 and 503 (`HttpRequest`), but not how. Here it is a
    lower bound.
    """
    seconds = backoff(
        attempts,
        minimum=policy.min_backoff / SECOND,
        maximum=policy.max_backoff / SECOND,
        doublings=policy.max_doublings,
    )
    wait = round(seconds * SECOND)
    if response.retry_after is not None and response.status in (_TOO_MANY_REQUESTS, _UNAVAILABLE):
        wait = max(wait, round(min(response.retry_after, RETENTION / SECOND) * SECOND))
    return wait


def previous_response(response: HandlerResponse, *, app_engine: bool = False) -> int:
    """Return the previous status for the next attempt's headers: 0 without a response.

    After a missed deadline it is 504, but 0 for an App Engine target (measured).
    """
    if response.status is not None:
        return response.status
    is_late = response.error == "DEADLINE_EXCEEDED" and not app_engine
    return _GATEWAY_TIMEOUT if is_late else 0


def counts_as_execution(response: HandlerResponse) -> bool:
    """Return whether a response increases the execution count: any but 5xx does (measured)."""
    return response.status is not None and response.status < 500  # noqa: PLR2004 - the rule


def response_status(response: HandlerResponse) -> tuple[int, str]:
    """Return the code and the message of an attempt's `google.rpc.Status`."""
    if response.status is None:
        if response.error == "DEADLINE_EXCEEDED":
            return (
                code_pb2.DEADLINE_EXCEEDED,
                "DEADLINE_EXCEEDED(4): no response before the deadline",
            )
        return code_pb2.UNKNOWN, "UNKNOWN(2): no response"
    if is_success(response):
        return code_pb2.OK, ""
    code = code_of(response.status)
    return code, f"{code_pb2.Code.Name(code)}({code}): HTTP status code {response.status}"
