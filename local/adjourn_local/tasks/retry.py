"""Whether and when a failed attempt is retried: pure decisions over a policy and the facts."""

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
    """A retry configuration in which every field has its value; times are microseconds."""

    max_attempts: int
    max_duration: int
    min_backoff: int
    max_backoff: int
    max_doublings: int


def policy_of(config: Any) -> TaskRetryPolicy:
    """Return the policy that a complete RetryConfig message describes."""
    return TaskRetryPolicy(
        max_attempts=config.max_attempts,
        max_duration=read(config.max_retry_duration),
        min_backoff=read(config.min_backoff),
        max_backoff=read(config.max_backoff),
        max_doublings=config.max_doublings,
    )


def override(policy: TaskRetryPolicy, config: Any) -> TaskRetryPolicy:
    """Return the policy of a task that brings its own RetryConfig; what it leaves out stays."""
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
    """Tell whether a task that just failed is given up.

    With both limits set they must both be reached (`RetryConfig.max_attempts`); without any,
    only the retention ends a task.
    """
    if age >= RETENTION:
        return True
    limits = []
    if policy.max_attempts > 0:
        limits.append(attempts >= policy.max_attempts)
    if policy.max_duration > 0:
        limits.append(since_first >= policy.max_duration)
    return bool(limits) and all(limits)


def delay(policy: TaskRetryPolicy, *, attempts: int, answer: HandlerResponse) -> int:
    """Return the microseconds until the next attempt, after `attempts` have failed.

    That Retry-After is considered on 429 and 503 is documented (`HttpRequest`), how is not: here
    it is a lower bound.
    """
    seconds = backoff(
        attempts,
        minimum=policy.min_backoff / SECOND,
        maximum=policy.max_backoff / SECOND,
        doublings=policy.max_doublings,
    )
    wait = round(seconds * SECOND)
    if answer.retry_after is not None and answer.status in (_TOO_MANY_REQUESTS, _UNAVAILABLE):
        wait = max(wait, round(min(answer.retry_after, RETENTION / SECOND) * SECOND))
    return wait


def previous_response(answer: HandlerResponse, *, app_engine: bool = False) -> int:
    """Return the status told to the next attempt: 0 for none, but 504 for a missed deadline.

    An App Engine target is told 0 for that too (measured).
    """
    if answer.status is not None:
        return answer.status
    is_late = answer.error == "DEADLINE_EXCEEDED" and not app_engine
    return _GATEWAY_TIMEOUT if is_late else 0


def counts_as_execution(answer: HandlerResponse) -> bool:
    """Tell whether the execution count rises: any answer does that is not a 5xx (measured)."""
    return answer.status is not None and answer.status < 500  # noqa: PLR2004 - the rule


def response_status(answer: HandlerResponse) -> tuple[int, str]:
    """Return code and message of the `google.rpc.Status` that an attempt ended with."""
    if answer.status is None:
        if answer.error == "DEADLINE_EXCEEDED":
            return code_pb2.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED(4): no answer before the deadline"
        return code_pb2.UNKNOWN, "UNKNOWN(2): no answer"
    if is_success(answer):
        return code_pb2.OK, ""
    code = code_of(answer.status)
    return code, f"{code_pb2.Code.Name(code)}({code}): HTTP status code {answer.status}"
