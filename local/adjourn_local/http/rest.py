"""Serve the methods of a gRPC service over HTTP and JSON, as `google.api.HttpRule` maps them."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from aiohttp import web
from google.protobuf import json_format  # type: ignore[import-untyped]

from adjourn_local.http.resource_names import invalid
from adjourn_local.http.rpc import HTTP_STATUS, Handler, Methods, RpcError, call

Answer = Callable[[web.Request], Awaitable[web.Response]]

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
    """How one method is called over HTTP.

    Attributes:
        verb: HTTP method.
        path: Path template, in which `{queue.name=projects/*}` sets a field.
        body: The field that the body is, `*` for the whole request, empty for none.
    """

    verb: str
    path: str
    body: str = ""


def routes(methods: Methods, rules: Mapping[str, Rule]) -> list[web.RouteDef]:
    """Return a route for each method that has a rule.

    Args:
        methods: For each method the class of its request and the handler, as gRPC serves them.
        rules: For each method its rule.
    """
    return [
        web.route(rule.verb, pattern(rule.path), _method(rule, *methods[name]))
        for name, rule in rules.items()
    ]


def unknown() -> web.RouteDef:
    """Return the last route: whatever no other serves is answered as Google's front end does."""

    async def refuse(request: web.Request) -> web.Response:
        return refusal(
            RpcError(grpc.StatusCode.NOT_FOUND, f"There is no {request.method} {request.path}.")
        )

    return web.route("*", r"/{version:v\d+}/{path:.*}", refuse)


def pattern(path: str) -> str:
    """Return a path template in aiohttp's spelling, which allows no dots in names."""
    return _VARIABLE.sub(
        lambda found: (
            f"{{{found[1].replace('.', '__')}:{found[2].replace('*', '[^/]+')}}}"  # one segment
        ),
        path,
    )


def respond(request: web.Request, message: Any, *, under: str = "") -> web.Response:
    """Return a message as JSON, with numbers for enums if the request asks for them.

    Args:
        request: The request.
        message: The answer to it.
        under: The field of the answer that the message is; empty for the whole.
    """
    content = json_format.MessageToDict(
        message, use_integers_for_enums="enum-encoding=int" in request.query.get("$alt", "")
    )
    return web.json_response({under: content} if under else content)


def refusal(error: RpcError) -> web.Response:
    """Return an error in the form that Google's APIs give it."""
    status = HTTP_STATUS[error.code]
    content = {"code": status, "message": error.message, "status": error.code.name}
    return web.json_response({"error": content}, status=status)


def _method(rule: Rule, kind: Any, handler: Handler) -> Answer:
    async def answer(request: web.Request) -> web.Response:
        try:
            message = _read(rule, kind, request, await request.read())
            return respond(request, await call(request.path, handler, message))
        except RpcError as error:
            return refusal(error)

    return answer


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
    """Return query parameters such as `queue.name=x` as JSON has them."""
    result: dict[str, Any] = {}
    for name, value in parameters:
        if name in _SYSTEM_PARAMETERS or name.startswith("$"):
            continue
        *parents, field = name.split(".")
        inner = result
        for parent in parents:
            inner = inner.setdefault(parent, {})
            if not isinstance(inner, dict):
                raise TypeError(f"{name} belongs to a field that has a value already.")
        inner[field] = _camel(value) if field in _MASKS else value
    return result


def _camel(paths: str) -> str:
    """Return a field mask in JSON's spelling, whichever of the two it has."""
    return _SNAKE.sub(lambda found: found[1].upper(), paths)
