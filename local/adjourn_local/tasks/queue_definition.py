"""Queues as CreateQueue and UpdateQueue take them: checks, defaults and merging."""

import math
from dataclasses import dataclass
from typing import Any

from google.cloud.tasks_v2.types import queue as queue_types

from adjourn_local.http import app_engine_services
from adjourn_local.http.resource_names import invalid
from adjourn_local.tasks.queue_http_target import check_target
from adjourn_local.tasks.retry import TaskRetryPolicy, policy_of
from adjourn_local.tasks.task_names import project_of
from adjourn_local.timing.timestamps import SECOND, read, write

RUNNING = int(queue_types.Queue.State.RUNNING)
PAUSED = int(queue_types.Queue.State.PAUSED)

_MAX_RATE = 500
_MAX_CONCURRENT = 5000
_OUTPUT_ONLY = ("name", "state", "purge_time", "rate_limits.max_burst_size")

_Queue: Any = queue_types.Queue.pb()


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """The settings of a queue that the dispatcher needs."""

    is_running: bool
    rate: float
    burst: int
    concurrent: int
    retry: TaskRetryPolicy
    http_target: Any | None
    app_engine: Any | None


def settings_of(queue: Any) -> QueueSettings:
    """Return the settings of a Queue message with all defaults."""
    limits = queue.rate_limits
    return QueueSettings(
        is_running=queue.state == RUNNING,
        rate=limits.max_dispatches_per_second,
        burst=limits.max_burst_size,
        concurrent=limits.max_concurrent_dispatches,
        retry=policy_of(queue.retry_config),
        http_target=queue.http_target if queue.HasField("http_target") else None,
        app_engine=queue.app_engine_routing_override
        if queue.HasField("app_engine_routing_override")
        else None,
    )


def new_queue(wanted: Any) -> Any:
    """Check the queue of a CreateQueue request, and return it with defaults.

    Raises:
        RpcError: INVALID_ARGUMENT, if a setting is out of range.
    """
    queue = _Queue()
    queue.CopyFrom(wanted)
    queue.ClearField("purge_time")
    queue.state = RUNNING
    return _complete(queue)


def merged(queue: Any, wanted: Any, mask: Any) -> Any:
    """Apply an UpdateQueue request to a queue, and return the new one; no mask means all fields.

    Raises:
        RpcError: INVALID_ARGUMENT, if a setting is out of range or the mask names an unknown field.
    """
    if not mask.paths:
        result = new_queue(wanted)
        result.state = queue.state
        if queue.HasField("purge_time"):
            result.purge_time.CopyFrom(queue.purge_time)
        return result
    result = _Queue()
    result.CopyFrom(queue)
    effective = type(mask)(paths=[path for path in mask.paths if path not in _OUTPUT_ONLY])
    if not effective.IsValidForDescriptor(_Queue.DESCRIPTOR):
        raise invalid(f"Invalid update_mask: {', '.join(mask.paths)}.")
    effective.MergeMessage(wanted, result, replace_message_field=True)
    return _complete(result)


def _complete(queue: Any) -> Any:
    if queue.HasField("http_target"):
        check_target(queue.http_target)
    if queue.HasField("app_engine_routing_override"):
        app_engine_services.set_host(queue.app_engine_routing_override, project_of(queue.name))
    _check_limits(queue.rate_limits)
    _check_retry(queue.retry_config)
    _fill_limits(queue.rate_limits)
    _fill_retry(queue.retry_config)
    _check_backoff(queue.retry_config)
    if not 0 <= queue.stackdriver_logging_config.sampling_ratio <= 1:
        raise invalid("StackdriverLoggingConfig.samplingRatio must be between 0.0 and 1.0.")
    return queue


def _check_limits(limits: Any) -> None:
    rate = limits.max_dispatches_per_second
    if math.isnan(rate) or rate > _MAX_RATE:
        raise invalid("RateLimits.maxDispatchesPerSecond must be less than or equal to 500.")
    if rate < 0:
        raise invalid("RateLimits.maxDispatchesPerSecond cannot be negative.")
    if limits.max_concurrent_dispatches > _MAX_CONCURRENT:
        raise invalid("RateLimits.maxConcurrentDispatches must be less than or equal to 5000.")
    if limits.max_concurrent_dispatches < 0:
        raise invalid("RateLimits.maxConcurrentDispatches cannot be negative.")


def check_retry(config: Any) -> None:
    """Refuse an invalid RetryConfig of a task.

    Raises:
        RpcError: INVALID_ARGUMENT.
    """
    _check_retry(config)
    if config.HasField("min_backoff") and config.HasField("max_backoff"):
        _check_backoff(config)


def _check_retry(config: Any) -> None:
    if config.max_attempts < -1:
        raise invalid("RetryConfig.maxAttempts must be greater or equal to -1.")
    if config.max_doublings < 0:
        raise invalid("RetryConfig.maxDoublings cannot be negative.")
    for field, name in (
        ("max_retry_duration", "maxRetryDuration"),
        ("min_backoff", "minBackoff"),
        ("max_backoff", "maxBackoff"),
    ):
        if read(getattr(config, field)) < 0:
            raise invalid(f"RetryConfig.{name} cannot be negative.")


def _check_backoff(config: Any) -> None:
    if read(config.min_backoff) > read(config.max_backoff):
        raise invalid(
            "RetryConfig.minBackoff must be less than or equal to RetryConfig.maxBackoff."
        )


def _fill_limits(limits: Any) -> None:
    """Set the defaults of a queue made by the API (cloud.google.com/tasks/docs/creating-queues)."""
    limits.max_dispatches_per_second = limits.max_dispatches_per_second or 500
    limits.max_concurrent_dispatches = limits.max_concurrent_dispatches or 1000
    # Output only. The page of defaults shows 100 for 500/s; older help: a fifth, and 10 for 1/s.
    limits.max_burst_size = max(10, int(limits.max_dispatches_per_second / 5))


def _fill_retry(config: Any) -> None:
    config.max_attempts = config.max_attempts or 100
    config.max_doublings = config.max_doublings or 16
    if not config.HasField("min_backoff"):
        write(config.min_backoff, SECOND // 10)
    if not config.HasField("max_backoff"):
        write(config.max_backoff, 3600 * SECOND)
    if config.HasField("max_retry_duration"):
        config.max_retry_duration.nanos = 0
