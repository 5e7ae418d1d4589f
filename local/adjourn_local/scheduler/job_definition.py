"""Jobs as CreateJob and UpdateJob take them: checks, defaults and merging.

Limits are those of `google.cloud.scheduler_v1.types.job` and `.target`.
"""

import datetime as dt
from typing import Any

from google.cloud.scheduler_v1.types import job as job_types
from google.protobuf.field_mask_pb2 import FieldMask  # type: ignore[import-untyped]

from adjourn_local.http.resource_names import invalid
from adjourn_local.scheduler import job_target
from adjourn_local.scheduler.start_times import check

Job: Any = job_types.Job.pb()

_MAX_DESCRIPTION = 500
_MAX_JOB = 1 << 20
_MAX_RETRIES = 5
_MIN_BACKOFF = dt.timedelta(seconds=5)
_MAX_BACKOFF = dt.timedelta(hours=1)
_DOUBLINGS = 5

_DEFINABLE = (
    "description",
    "http_target",
    "app_engine_http_target",
    "pubsub_target",
    "schedule",
    "time_zone",
    "retry_config",
    "attempt_deadline",
)
_IGNORED = frozenset(
    {"name", "state", "status", "schedule_time", "last_attempt_time", "user_update_time"}
)


def define(given: Any) -> Any:
    """Check the job of a CreateJob request, and return it with defaults.

    Raises:
        RpcError: INVALID_ARGUMENT.
    """
    job = Job(name=given.name)
    FieldMask(paths=_DEFINABLE).MergeMessage(given, job)
    _complete(job)
    _check(job)
    return job


def redefine(job: Any, given: Any, mask: Any) -> Any:
    """Apply an UpdateJob request to a job, and return the new one; no mask means all fields.

    Output-only fields are ignored (`UpdateJobRequest.job`).

    Raises:
        RpcError: INVALID_ARGUMENT.
    """
    paths = [path for path in mask.paths if path.partition(".")[0] not in _IGNORED]
    if not mask.paths or "*" in paths:
        paths = list(_DEFINABLE)
    for path in paths:
        if not FieldMask(paths=[path]).IsValidForDescriptor(Job.DESCRIPTOR):
            raise invalid(f"Invalid mask for Job: {path}")
    updated = Job()
    updated.CopyFrom(job)
    for path in paths:
        _clear(updated, path)
    FieldMask(paths=paths).MergeMessage(given, updated)
    _complete(updated)
    _check(updated)
    return updated


def _clear(message: Any, path: str) -> None:
    """Clear the field of a mask path: merging does not clear unset fields."""
    *parents, field = path.split(".")
    for parent in parents:
        if not message.HasField(parent):
            return
        message = getattr(message, parent)
    message.ClearField(field)


def _complete(job: Any) -> None:
    job.time_zone = job.time_zone or "UTC"
    job_target.complete(job)
    retry = job.retry_config
    if not retry.HasField("max_retry_duration"):
        retry.max_retry_duration.FromTimedelta(dt.timedelta())
    if not retry.HasField("min_backoff_duration"):
        retry.min_backoff_duration.FromTimedelta(_MIN_BACKOFF)
    if not retry.HasField("max_backoff_duration"):
        retry.max_backoff_duration.FromTimedelta(_MAX_BACKOFF)
    # The message does not distinguish zero from unset.
    retry.max_doublings = retry.max_doublings or _DOUBLINGS


def _check(job: Any) -> None:
    if len(job.description) > _MAX_DESCRIPTION:
        raise invalid(f"The description must not exceed {_MAX_DESCRIPTION} characters.")
    try:
        check(job)
    except ValueError as error:
        # The service has the first sentence only.
        raise invalid(f"Schedule or time zone is invalid. ({error})") from None
    job_target.check(job)
    _check_retries(job.retry_config)
    if job.ByteSize() > _MAX_JOB:
        raise invalid("The job must not exceed 1 MB.")


def _check_retries(retry: Any) -> None:
    if not 0 <= retry.retry_count <= _MAX_RETRIES:
        raise invalid(f"The retry count must be between 0 and {_MAX_RETRIES}.")
    shortest = retry.min_backoff_duration.ToTimedelta()
    longest = retry.max_backoff_duration.ToTimedelta()
    duration = retry.max_retry_duration.ToTimedelta()
    if min(shortest, longest, duration) < dt.timedelta() or retry.max_doublings < 0:
        raise invalid("Durations and doublings of the retry configuration must not be negative.")
    if shortest > longest:
        raise invalid("The minimum backoff must not exceed the maximum backoff.")
