"""Serve Datastore's methods over HTTP with protobuf bodies; errors are `google.rpc.Status`."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
from aiohttp import web
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from google.rpc import status_pb2  # type: ignore[import-untyped]

from adjourn_local.http.rpc import HTTP_STATUS, RpcError, call

_CONTENT_TYPE = "application/x-protobuf"

Method = tuple[Any, Callable[[Any], Any]]


def routes(methods: Mapping[str, Method]) -> list[web.RouteDef]:
    """Return a route for each method, with the path that Google's client uses."""
    return [
        web.post(f"/v1/projects/{{project}}:{name[0].lower()}{name[1:]}", _handler(*method))
        for name, method in methods.items()
    ]


def _handler(
    message: Any, serve: Callable[[Any], Any]
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        try:
            # Not `request.read()`: aiohttp limits that to 1 MB, the service does not.
            body = message.FromString(await request.content.read())
            if not body.project_id:
                body.project_id = request.match_info["project"]
            content = (await call(request.path, serve, body)).SerializeToString()
        except DecodeError:
            error = RpcError(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"The body is not a {message.DESCRIPTOR.full_name}.",
            )
            return _error_response(error)
        except RpcError as error:
            return _error_response(error)
        return web.Response(body=content, content_type=_CONTENT_TYPE)

    return handle


def _error_response(error: RpcError) -> web.Response:
    status = status_pb2.Status(code=error.code.value[0], message=error.message)
    return web.Response(
        status=HTTP_STATUS[error.code],
        body=status.SerializeToString(),
        content_type=_CONTENT_TYPE,
    )
