"""The messages of Cloud Tasks that adjourn sends and receives, with the fields that it uses.

Importing Google's client takes four times as long as importing gRPC. What travels is defined by
numbers of fields alone (https://protobuf.dev/programming-guides/encoding/), which never change in
a published version of a service. They are those of `google/cloud/tasks/v2/*.proto` and
`google/longrunning/operations.proto`; the contract tests compare them with Google's client.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

_PACKAGE = "adjourn.tasks"
_FILE = "adjourn/tasks.proto"
_TIMESTAMP, _DURATION = "google.protobuf.Timestamp", "google.protobuf.Duration"

# A message's fields by name: the number and the type, which `[]` follows if it is repeated. An
# entry of a map is a message of its own with `key` and `value`, as it is on the wire.
SCHEMA: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "CreateTaskRequest": {"parent": (1, "string"), "task": (2, "Task")},
    "BatchCreateTasksRequest": {"parent": (1, "string"), "requests": (2, "CreateTaskRequest[]")},
    "BatchCreateTasksResponse": {"tasks": (1, "Task[]")},
    "BatchCreateTasksMetadata": {"failed_requests": (4, "FailedRequest[]")},
    "GetTaskRequest": {"name": (1, "string")},
    "DeleteTaskRequest": {"name": (1, "string")},
    "Task": {
        "name": (1, "string"),
        "http_request": (3, "HttpRequest"),
        "schedule_time": (4, _TIMESTAMP),
        "dispatch_deadline": (6, _DURATION),
        "dispatch_count": (7, "int32"),
        "last_attempt": (10, "Attempt"),
        "retry_config": (12, "RetryConfig"),
    },
    "HttpRequest": {
        "url": (1, "string"),
        "headers": (3, "Header[]"),
        "body": (4, "bytes"),
        "oidc_token": (6, "OidcToken"),
    },
    "OidcToken": {"service_account_email": (1, "string"), "audience": (2, "string")},
    "RetryConfig": {"min_backoff": (3, _DURATION), "max_backoff": (4, _DURATION)},
    "Attempt": {"response_status": (4, "Status")},
    "Header": {"key": (1, "string"), "value": (2, "string")},
    "FailedRequest": {"key": (1, "int32"), "value": (2, "Status")},
    "Status": {"code": (1, "int32"), "message": (2, "string")},
    "Operation": {
        "metadata": (2, "Any"),
        "done": (3, "bool"),
        "error": (4, "Status"),
        "response": (5, "Any"),
    },
    "Any": {"value": (2, "bytes")},
    "Empty": {},
}
_PLAIN = ("string", "bytes", "int32", "bool")


@cache
def messages() -> Mapping[str, Any]:
    """Return the classes of the messages by their names in `SCHEMA`."""
    from google.protobuf import (  # type: ignore[import-untyped]  # it has no types
        descriptor_pb2,
        descriptor_pool,
        duration_pb2,
        message_factory,
        timestamp_pb2,
    )

    pool = descriptor_pool.Default()
    file = descriptor_pb2.FileDescriptorProto(name=_FILE, package=_PACKAGE, syntax="proto3")
    file.dependency.extend(each.DESCRIPTOR.name for each in (duration_pb2, timestamp_pb2))
    for name, fields in SCHEMA.items():
        message = file.message_type.add(name=name)
        for field, (number, of) in fields.items():
            _describe(message.field.add(name=field, number=number), of)
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in SCHEMA
    }


def _describe(field: Any, of: str) -> None:
    name = of.removesuffix("[]")
    field.label = field.LABEL_OPTIONAL if name == of else field.LABEL_REPEATED
    if name in _PLAIN:
        field.type = getattr(field, f"TYPE_{name.upper()}")
    else:
        field.type = field.TYPE_MESSAGE
        field.type_name = f".{name}" if "." in name else f".{_PACKAGE}.{name}"
