"""Datastore's methods over HTTP: bodies of protobuf or of JSON both ways, as the request has it.

Errors are a `google.rpc.Status`, in JSON as https://cloud.google.com/apis/design/errors has it.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
from aiohttp import web
from google.protobuf.json_format import (  # type: ignore[import-untyped]
    MessageToJson,
    Parse,
    ParseError,
)
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
        is_json = request.content_type != _CONTENT_TYPE
        try:
            # Not `request.read()`: aiohttp limits that to 1 MB, the service does not.
            content = await request.content.read()
            body = Parse(content, message()) if is_json else message.FromString(content)
            if not body.project_id:
                body.project_id = request.match_info["project"]
            answer = await call(request.path, serve, body)
        except (DecodeError, ParseError):
            error = RpcError(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"The body is not a {message.DESCRIPTOR.full_name}.",
            )
            return _error_response(error, is_json=is_json)
        except RpcError as error:
            return _error_response(error, is_json=is_json)
        if is_json:
            return web.json_response(text=MessageToJson(answer))
        return web.Response(body=answer.SerializeToString(), content_type=_CONTENT_TYPE)

    return handle


def _error_response(error: RpcError, *, is_json: bool) -> web.Response:
    http_status = HTTP_STATUS[error.code]
    if is_json:
        content = {"code": http_status, "status": error.code.name, "message": error.message}
        return web.json_response({"error": content}, status=http_status)
    status = status_pb2.Status(code=error.code.value[0], message=error.message)
    return web.Response(
        status=http_status, body=status.SerializeToString(), content_type=_CONTENT_TYPE
    )
