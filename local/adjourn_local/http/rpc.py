"""Serve Google's gRPC methods from plain Python callables, with Google's own message classes."""

import datetime as dt
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any

import grpc
from google.rpc import status_pb2  # type: ignore[import-untyped]

from adjourn_local.database import log_trouble
from adjourn_local.errors import StorageError
from adjourn_local.http.connections import CLIENT
from adjourn_local.timing.clocks import pacific

_log = logging.getLogger(__name__)

Handler = Callable[[Any], Any | Awaitable[Any]]
Methods = Mapping[str, tuple[Any, Handler]]

# google/rpc/code.proto names the HTTP status of each code.
HTTP_STATUS: Mapping[grpc.StatusCode, int] = {
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DATA_LOSS: 500,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}

# Seconds: a date can be no more than some centuries away.
_CENTURY = 100 * 365 * 86400.0


class MessageOnUse:
    """Stands for a message class, which is imported when a message is first made or read.

    Args:
        find: Returns the raw protobuf class.
    """

    def __init__(self, find: Callable[[], Any]) -> None:
        self._find = cache(find)

    def __call__(self) -> Any:
        """Return a new message."""
        return self._find()()

    def FromString(self, data: bytes) -> Any:  # noqa: N802 - as of protobuf
        """Return the message in some bytes."""
        return self._find().FromString(data)


class RpcError(Exception):
    """A gRPC error with the code and the message of the real service.

    Args:
        code: The code.
        message: The message.
        details: Messages of `google/rpc/error_details.proto` that go with it.
    """

    def __init__(self, code: grpc.StatusCode, message: str, *details: Any) -> None:
        super().__init__(message)
        self.code = code
        # It may quote what is no text, such as the name of a file.
        self.message = message.encode(errors="replace").decode()
        self.details = details

    def status(self) -> Any:
        """Return the error as a `google.rpc.Status`."""
        found = status_pb2.Status(code=self.code.value[0], message=self.message)
        for detail in self.details:
            found.details.add().Pack(detail)
        return found


def service(
    name: str, methods: Methods, *, longest_deadline: float | None = None
) -> grpc.GenericRpcHandler:
    """Return a gRPC service for a gRPC server.

    Args:
        name: Full service name, such as `google.cloud.tasks.v2.CloudTasks`.
        methods: The request class and the handler of each method. The class is the raw protobuf
            class, such as `cloudtasks.CreateTaskRequest.pb()`, or a `MessageOnUse`. The handler
            takes the request and returns the response; it may be a coroutine function and may raise
            `RpcError`. Any other exception is logged and becomes INTERNAL.
        longest_deadline: The longest deadline, in seconds, that a client may set; None for any.
    """
    return grpc.method_handlers_generic_handler(
        name,
        {
            method: grpc.unary_unary_rpc_method_handler(
                _servicer(f"{name}/{method}", handler, longest_deadline),
                request_deserializer=request.FromString,
                response_serializer=_serialize,
            )
            for method, (request, handler) in methods.items()
        },
    )


async def call(method: str, handler: Handler, request: Any) -> Any:
    """Call a handler and return its response.

    Raises:
        RpcError: As raised by the handler. A state that cannot be read or written is logged and
            becomes UNAVAILABLE, any other exception INTERNAL.
    """
    try:
        response = handler(request)
        return await response if inspect.isawaitable(response) else response
    except RpcError:
        raise
    except StorageError as error:
        log_trouble(_log, error, f"{method.rpartition('/')[2]} was refused.")
        raise RpcError(grpc.StatusCode.UNAVAILABLE, str(error)) from None
    except Exception:  # noqa: BLE001 - the client must get an answer
        _log.exception("%s failed", method)
        text = f"{method} failed inside the laptop stack; see the stack's log"
        raise RpcError(grpc.StatusCode.INTERNAL, text) from None


def _serialize(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data


def _servicer(
    method: str, handler: Handler, longest: float | None
) -> Callable[[Any, Any], Awaitable[Any]]:
    async def serve(request: Any, context: Any) -> Any:
        CLIENT.set(context.peer())
        try:
            if longest is not None:
                _check_deadline(context.time_remaining(), longest)
            return await call(method, handler, request)
        except RpcError as error:
            # https://grpc.io/docs/guides/error/#richer-error-model
            metadata = (
                (("grpc-status-details-bin", error.status().SerializeToString()),)
                if error.details
                else ()
            )
            await context.abort(error.code, error.message, metadata)

    return serve


def _check_deadline(remaining: float | None, longest: float) -> None:
    if remaining is not None and remaining > longest:
        deadline = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=min(remaining, _CENTURY))
        raise RpcError(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"The request deadline is {pacific(deadline)}. "
            f"The deadline cannot be more than {longest:.0f}s in the future.",
        )
