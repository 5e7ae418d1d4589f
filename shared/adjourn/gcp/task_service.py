"""The calls of Cloud Tasks that adjourn makes, over gRPC and without Google's client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from adjourn.errors import EnqueueError, QueueNotFoundError, TaskExistsError, UnavailableError
from adjourn.gcp.channels import google_channel, local_channel
from adjourn.gcp.task_messages import messages
from adjourn.settings import Settings

if TYPE_CHECKING:
    import grpc

_SERVICE = "google.cloud.tasks.v2.CloudTasks"
_HOST = "cloudtasks.googleapis.com"
_ROUTING = "x-goog-request-params"  # https://google.aip.dev/client-libraries/4222

# What the same request may not meet again: trouble of the service, and too many requests.
_PASSING = frozenset(
    {
        "ABORTED",
        "DATA_LOSS",
        "DEADLINE_EXCEEDED",
        "INTERNAL",
        "RESOURCE_EXHAUSTED",
        "UNAVAILABLE",
        "UNKNOWN",
    }
)


class TaskService:
    """Cloud Tasks on one channel; each method takes a message and a timeout in seconds.

    All raise grpc.RpcError; `translated` makes errors of ours of it.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        new = messages()
        self.create_task = _method(channel, "CreateTask", "parent", new["Task"])
        self.batch_create_tasks = _method(channel, "BatchCreateTasks", "parent", new["Operation"])
        self.get_task = _method(channel, "GetTask", "name", new["Task"])
        self.delete_task = _method(channel, "DeleteTask", "name", new["Empty"])


def _method(channel: grpc.Channel, name: str, routed: str, answer: Any) -> Any:
    call: Any = channel.unary_unary(
        f"/{_SERVICE}/{name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=answer.FromString,
    )

    def request(message: Any, timeout: float) -> Any:
        where = quote(getattr(message, routed), safe="/")
        return call(message, timeout=timeout, metadata=((_ROUTING, f"{routed}={where}"),))

    return request


def task_service(settings: Settings) -> TaskService:
    """Return the service of a deployment; nothing is sent yet.

    Raises:
        EnqueueError: There are no credentials.
    """
    if settings.tasks_host:
        return TaskService(local_channel(settings.tasks_host))
    with translated(""):
        return TaskService(google_channel(_HOST) or _channel_of_client())


def _channel_of_client() -> grpc.Channel:
    from google.cloud.tasks_v2 import CloudTasksClient

    transport: Any = CloudTasksClient().transport
    channel: grpc.Channel = transport.grpc_channel
    return channel


@contextmanager
def translated(queue: str) -> Iterator[None]:
    """Raise our own errors instead of those of gRPC and of Google's credentials."""
    import grpc
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except grpc.RpcError as error:
        raise _ours(error.code().name, error.details() or "", queue) from error
    except GoogleAuthError as error:
        raise EnqueueError(f"Cloud Tasks refused the call: {error}") from error


def error_of(status: Any, queue: str) -> EnqueueError:
    """Return our own error for a google.rpc.Status."""
    import grpc

    names = {each.value[0]: each.name for each in grpc.StatusCode}
    return _ours(names.get(status.code, "UNKNOWN"), status.message, queue)


def _ours(code: str, text: str, queue: str) -> EnqueueError:
    if code == "ALREADY_EXISTS":
        return TaskExistsError(text)
    if code == "NOT_FOUND":
        return QueueNotFoundError(f"Queue {queue!r} does not exist: {text}")
    if code in _PASSING:
        return UnavailableError(f"Cloud Tasks is unavailable: {code}: {text}")
    return EnqueueError(f"Cloud Tasks refused the call: {code}: {text}")


def is_unknown_method(error: EnqueueError) -> bool:
    """Whether Cloud Tasks does not have the method that was called."""
    import grpc

    cause = error.__cause__
    return isinstance(cause, grpc.RpcError) and cause.code() is grpc.StatusCode.UNIMPLEMENTED
