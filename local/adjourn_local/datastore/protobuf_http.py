"""Datastore's methods over HTTP: bodies of protobuf or of JSON both ways, as the request has it."""

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

from adjourn_local.datastore.responses import whole
from adjourn_local.http.bodies import BODY
from adjourn_local.http.error_responses import PROTOBUF, error_response
from adjourn_local.http.gate import accepting
from adjourn_local.http.rpc import RpcError, call

Method = tuple[Any, Callable[[Any], Any]]


def routes(methods: Mapping[str, Method]) -> list[web.RouteDef]:
    """Return a route for each method, with the path that Google's client uses."""
    return [
        web.post(f"/v1/projects/{{project}}:{name[0].lower()}{name[1:]}", _handler(*method))
        for name, method in methods.items()
    ]


def emulator_routes(reset: Callable[[], None]) -> list[web.RouteDef]:
    """Return what Google's emulator has beside the service: `GET /` and `POST /reset`."""

    async def greet(_: web.Request) -> web.Response:
        return web.Response(text="Ok\n")

    @accepting()
    async def start_anew(request: web.Request) -> web.Response:
        try:
            await call(request.path, lambda _: reset(), None)
        except RpcError as error:
            return error_response(error)
        return web.Response(text="Resetting...\n")

    return [web.get("/", greet), web.post("/reset", start_anew)]


def _handler(
    message: Any, serve: Callable[[Any], Any]
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        is_json = request.content_type != PROTOBUF
        content = request[BODY]
        try:
            body = Parse(content or b"{}", message()) if is_json else message.FromString(content)
            if not body.project_id:
                body.project_id = request.match_info["project"]
            answer = await call(request.path, serve, body)
        except (DecodeError, ParseError, UnicodeDecodeError) as reason:
            text = f"The body is not a {message.DESCRIPTOR.full_name}: {reason}"
            error = RpcError(grpc.StatusCode.INVALID_ARGUMENT, text)
            return error_response(error, is_json=is_json)
        except RpcError as error:
            return error_response(error, is_json=is_json)
        if is_json:
            return web.json_response(text=MessageToJson(whole(answer)))
        return web.Response(body=answer.SerializeToString(), content_type=PROTOBUF)

    return handle
