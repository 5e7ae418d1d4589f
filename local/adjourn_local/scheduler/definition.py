"""What a user may define in a job, with the defaults that the service fills in.

Limits are those of `google.cloud.scheduler_v1.types.job` and `.target`.
"""

import datetime as dt
import re
from typing import Any
from urllib.parse import urlsplit

from google.cloud.scheduler_v1.types import HttpMethod
from google.cloud.scheduler_v1.types import job as job_types
from google.protobuf.field_mask_pb2 import FieldMask  # type: ignore[import-untyped]

from adjourn_local.names import invalid
from adjourn_local.scheduler.times import check

Job: Any = job_types.Job.pb()

_MAX_DESCRIPTION = 500
_MAX_URI = 2083
_MAX_HEADERS = 80 * 1024
_MAX_JOB = 1 << 20
_MAX_RETRIES = 5
_DEADLINE = dt.timedelta(minutes=3)
_SHORTEST_DEADLINE = dt.timedelta(seconds=15)
_LONGEST_DEADLINE = dt.timedelta(minutes=30)
_MIN_BACKOFF = dt.timedelta(seconds=5)
_MAX_BACKOFF = dt.timedelta(hours=1)
_DOUBLINGS = 5

_METHODS_WITH_BODY = frozenset({HttpMethod.POST, HttpMethod.PUT, HttpMethod.PATCH})
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")

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
    """Return a new job with all that a user may define, complete and within the limits.

    Raises:
        RpcError: INVALID_ARGUMENT.
    """
    job = Job(name=given.name)
    FieldMask(paths=_DEFINABLE).MergeMessage(given, job)
    _complete(job)
    _check(job)
    return job


def redefine(job: Any, given: Any, mask: Any) -> Any:
    """Return a copy of `job` in which the masked fields are as given; without a mask, all are.

    Fields that only the service sets are ignored (`UpdateJobRequest.job`).

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
    """Clear what a mask names, because merging leaves alone what is not given."""
    *parents, field = path.split(".")
    for parent in parents:
        if not message.HasField(parent):
            return
        message = getattr(message, parent)
    message.ClearField(field)


def _complete(job: Any) -> None:
    job.time_zone = job.time_zone or "UTC"
    if job.HasField("http_target") and not job.http_target.http_method:
        job.http_target.http_method = HttpMethod.POST
    if not job.HasField("attempt_deadline"):
        job.attempt_deadline.FromTimedelta(_DEADLINE)
    retry = job.retry_config
    if not retry.HasField("max_retry_duration"):
        retry.max_retry_duration.FromTimedelta(dt.timedelta())
    if not retry.HasField("min_backoff_duration"):
        retry.min_backoff_duration.FromTimedelta(_MIN_BACKOFF)
    if not retry.HasField("max_backoff_duration"):
        retry.max_backoff_duration.FromTimedelta(_MAX_BACKOFF)
    # Zero cannot be told from "not given" on the wire.
    retry.max_doublings = retry.max_doublings or _DOUBLINGS


def _check(job: Any) -> None:
    if len(job.description) > _MAX_DESCRIPTION:
        raise invalid(f"The description must not exceed {_MAX_DESCRIPTION} characters.")
    try:
        check(job)
    except ValueError as error:
        # The first sentence is all that the service says.
        raise invalid(f"Schedule or time zone is invalid. ({error})") from None
    _check_target(job)
    _check_retries(job.retry_config)
    deadline = job.attempt_deadline.ToTimedelta()
    if not _SHORTEST_DEADLINE <= deadline <= _LONGEST_DEADLINE:
        raise invalid("The attempt deadline must be between 15 seconds and 30 minutes.")
    if job.ByteSize() > _MAX_JOB:
        raise invalid("The job must not exceed 1 MB.")


def _check_target(job: Any) -> None:
    kind = job.WhichOneof("target")
    if kind is None:
        raise invalid("The job must have a target.")
    if kind != "http_target":
        raise invalid(f"The target {kind} is not supported by the laptop stack; use http_target.")
    target = job.http_target
    _check_uri(target.uri)
    _check_headers(target.headers)
    if target.http_method not in HttpMethod.__members__.values():
        raise invalid(f"HTTP method {target.http_method} is unknown.")
    if target.body and target.http_method not in _METHODS_WITH_BODY:
        raise invalid("A body is allowed only if the HTTP method is POST, PUT, or PATCH.")
    if target.HasField("oauth_token"):
        raise invalid("OAuth tokens are not supported by the laptop stack; use oidc_token.")
    if target.HasField("oidc_token") and "@" not in target.oidc_token.service_account_email:
        raise invalid("The service account email of the OIDC token is missing or malformed.")


def _check_uri(uri: str) -> None:
    try:
        parts = urlsplit(uri)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise invalid('The URI must be valid and begin with either "http://" or "https://".')
    if len(uri) > _MAX_URI:
        raise invalid(f"The URI must not exceed {_MAX_URI} characters.")


def _check_headers(headers: Any) -> None:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise invalid(f"The header {name!r} is malformed.")
    if sum(len(n.encode()) + len(v.encode()) for n, v in headers.items()) >= _MAX_HEADERS:
        raise invalid("The headers must be smaller than 80 KB.")


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
