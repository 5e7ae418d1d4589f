"""Serve Google's gRPC methods from plain Python callables, with Google's own message classes."""

import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc

_log = logging.getLogger(__name__)

Handler = Callable[[Any], Any | Awaitable[Any]]


class RpcError(Exception):
    """An answer other than OK: the code and the text that the real service gives."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def service(name: str, methods: Mapping[str, tuple[type, Handler]]) -> grpc.GenericRpcHandler:
    """Return a gRPC service for a `grpc.aio` server.

    Args:
        name: Full service name, such as `google.cloud.tasks.v2.CloudTasks`.
        methods: For each method name the class of its request (the raw protobuf class, such as
            `cloudtasks.CreateTaskRequest.pb()`) and a callable from request to response message.
            It may be a coroutine function and may raise `RpcError`; anything else it raises is
            logged and answered with INTERNAL.
    """
    return grpc.method_handlers_generic_handler(
        name,
        {
            method: grpc.unary_unary_rpc_method_handler(
                _answer(f"{name}/{method}", handler),
                request_deserializer=request.FromString,  # type: ignore[attr-defined]
                response_serializer=_serialize,
            )
            for method, (request, handler) in methods.items()
        },
    )


def _serialize(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data


def _answer(method: str, handler: Handler) -> Callable[[Any, Any], Awaitable[Any]]:
    async def answer(request: Any, context: Any) -> Any:
        try:
            response = handler(request)
            return await response if inspect.isawaitable(response) else response
        except RpcError as error:
            await context.abort(error.code, error.message)
        except Exception:  # noqa: BLE001 - the last line before the wire
            _log.exception("%s failed", method)
            await context.abort(
                grpc.StatusCode.INTERNAL, f"{method} failed; the stack's log says why"
            )

    return answer
