"""Serve the methods of a gRPC service over HTTP and JSON, as `google.api.HttpRule` maps them."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from aiohttp import web
from google.protobuf import json_format  # type: ignore[import-untyped]

from adjourn_local.http.bodies import BODY
from adjourn_local.http.error_responses import error_response
from adjourn_local.http.resource_names import invalid
from adjourn_local.http.rpc import Handler, Methods, RpcError, call

HttpHandler = Callable[[web.Request], Awaitable[web.Response]]

# https://cloud.google.com/apis/docs/system-parameters
_SYSTEM_PARAMETERS = frozenset(
    {
        "access_token",
        "alt",
        "callback",
        "fields",
        "key",
        "oauth_token",
        "prettyPrint",
        "quotaUser",
        "uploadType",
        "upload_protocol",
    }
)
_MASKS = ("updateMask", "update_mask")
_VARIABLE = re.compile(r"\{([a-z_.]+)=([^}]+)\}")
_SNAKE = re.compile(r"_([a-z0-9])")


@dataclass(frozen=True, slots=True)
class Rule:
    """The HTTP mapping of one method.

    Attributes:
        verb: HTTP method.
        path: Path template, in which `{queue.name=projects/*}` sets a field.
        body: The request field that the body fills; `*` for the whole request, empty for no body.
    """

    verb: str
    path: str
    body: str = ""


def routes(methods: Methods, rules: Mapping[str, Rule]) -> list[web.RouteDef]:
    """Return a route for each method that has a rule.

    Args:
        methods: The request class and the handler of each method, as for gRPC.
        rules: The rule of each method.
    """
    return [
        web.route(rule.verb, pattern(rule.path), _method(rule, *methods[name]))
        for name, rule in rules.items()
    ]


def unknown() -> web.RouteDef:
    """Return the fallback route, which answers 404 in the form of Google's APIs."""

    async def refuse(request: web.Request) -> web.Response:
        return error_response(
            RpcError(grpc.StatusCode.NOT_FOUND, f"There is no {request.method} {request.path}.")
        )

    return web.route("*", r"/{version:v\d+}/{path:.*}", refuse)


def pattern(path: str) -> str:
    """Convert a path template to aiohttp's syntax, which allows no dots in names."""
    return _VARIABLE.sub(
        lambda found: (
            f"{{{found[1].replace('.', '__')}:{found[2].replace('*', '[^/]+')}}}"  # one segment
        ),
        path,
    )


def respond(request: web.Request, message: Any, *, under: str = "") -> web.Response:
    """Return a JSON response with a message; enums are numbers if the request asks for that.

    Args:
        request: The HTTP request.
        message: The protobuf message to return.
        under: The JSON field to put the message in; empty if the message is the whole body.
    """
    content = json_format.MessageToDict(
        message, use_integers_for_enums="enum-encoding=int" in request.query.get("$alt", "")
    )
    return web.json_response({under: content} if under else content)


def _method(rule: Rule, kind: Any, handler: Handler) -> HttpHandler:
    async def handle(request: web.Request) -> web.Response:
        try:
            message = _read(rule, kind, request, request[BODY])
            return respond(request, await call(request.path, handler, message))
        except RpcError as error:
            return error_response(error)

    return handle


def _read(rule: Rule, kind: Any, request: web.Request, body: bytes) -> Any:
    message = kind()
    try:
        json_format.ParseDict(_nested(request.query.items()), message)
        if rule.body:
            content = message if rule.body == "*" else getattr(message, rule.body)
            content.SetInParent()
            json_format.Parse(body or b"{}", content)
    except (json_format.ParseError, TypeError, ValueError) as error:
        raise invalid(f"Invalid request: {error}") from None
    for variable, value in request.match_info.items():
        *parents, field = variable.split("__")
        parent = message
        for name in parents:
            parent = getattr(parent, name)
        setattr(parent, field, value)
    return message


def _nested(parameters: Any) -> dict[str, Any]:
    """Convert query parameters such as `queue.name=x` to nested JSON objects."""
    result: dict[str, Any] = {}
    for name, value in parameters:
        if name in _SYSTEM_PARAMETERS or name.startswith("$"):
            continue
        *parents, field = name.split(".")
        inner = result
        for parent in parents:
            inner = inner.setdefault(parent, {})
            if not isinstance(inner, dict):
                raise TypeError(f"{name} is inside a field that already has a value.")
        inner[field] = _camel(value) if field in _MASKS else value
    return result


def _camel(paths: str) -> str:
    """Convert a field mask to camelCase, if it is not already."""
    return _SNAKE.sub(lambda found: found[1].upper(), paths)
