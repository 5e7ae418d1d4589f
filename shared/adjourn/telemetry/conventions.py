"""The names of OpenTelemetry's semantic conventions that spans and metrics carry, and our own.

They are those of version 1.44 (https://opentelemetry.io/docs/specs/semconv/messaging/). It has no
value of `messaging.system` for Cloud Tasks or Cloud Scheduler, and allows others; attributes of one
system are in `messaging.{system}`. Names never change: dashboards and alerts go by them.
"""

from __future__ import annotations

SYSTEM = "messaging.system"
OPERATION_NAME = "messaging.operation.name"
OPERATION_TYPE = "messaging.operation.type"
DESTINATION = "messaging.destination.name"
MESSAGE_ID = "messaging.message.id"
BATCH_COUNT = "messaging.batch.message_count"
ERROR_TYPE = "error.type"
FAAS_TRIGGER = "faas.trigger"
FAAS_TIME = "faas.time"

CLOUD_TASKS = "gcp_cloud_tasks"
CLOUD_SCHEDULER = "gcp_cloud_scheduler"
RETRY_COUNT = "messaging.gcp_cloud_tasks.message.retry_count"
EXECUTION_COUNT = "messaging.gcp_cloud_tasks.message.execution_count"

TASK = "adjourn.task"
CALL_ID = "adjourn.call.id"
ATTEMPT = "adjourn.attempt"
OUTCOME = "adjourn.outcome"
RUN = "adjourn.run"
SHARD = "adjourn.shard"
STEP = "adjourn.step"
ENTITIES = "adjourn.entities"

EXCEPTION = "exception"
EXCEPTION_TYPE = "exception.type"
EXCEPTION_MESSAGE = "exception.message"
EXCEPTION_STACKTRACE = "exception.stacktrace"


def error_type(error: BaseException) -> str:
    """Return the value of `error.type` for an exception: the name of its class."""
    cls = type(error)
    is_plain = cls.__module__ in {"builtins", "__main__"}
    return cls.__qualname__ if is_plain else f"{cls.__module__}.{cls.__qualname__}"
