"""The HTTP application of the stack: every request passes the gate, and its body is read whole."""

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable

import grpc
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from adjourn_local.http.bodies import BODY, LONGEST, BodyError, decode, too_long
from adjourn_local.http.error_responses import PROTOBUF, error_response
from adjourn_local.http.gate import RequestHead, accepted_by, refusal
from adjourn_local.http.rpc import RpcError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def runner(routes: Iterable[web.RouteDef], allowed_hosts: Collection[str] = ()) -> web.AppRunner:
    """Return a runner of an application with routes of the stack.

    Args:
        routes: The routes. Their handlers find the decoded body of a request in `request[BODY]`.
        allowed_hosts: Host names in small letters, besides those of loopback, under which requests
            are served.
    """

    @web.middleware
    async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
        refused = refusal(_head(request), allowed_hosts, accepted_by(request.match_info.handler))
        if refused:
            return _refuse(request, refused.status, refused.text)
        try:
            request[BODY] = await _body(request)
        except BodyError as error:
            return _refuse(request, error.status, str(error))
        return await handler(request)

    application = web.Application(client_max_size=LONGEST, middlewares=[gate])
    application.add_routes(routes)
    log = logging.getLogger(__name__)
    log.addFilter(_without_traceback)
    return web.AppRunner(application, access_log=None, auto_decompress=False, logger=log)


async def _body(request: web.Request) -> bytes:
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise too_long() from None
    except (web.RequestPayloadError, ConnectionError):  # broken off, in the latter case
        raise BodyError(400, "The body of the request is broken.") from None
    return decode(body, ", ".join(request.headers.getall("Content-Encoding", [])))


def _head(request: web.Request) -> RequestHead:
    hosts = request.headers.getall("Host", [])
    types = request.headers.getall("Content-Type", [])
    return RequestHead(
        # An absolute URL as the target of a request may name another host.
        host=", ".join(dict.fromkeys([*hosts, request.host])) if hosts else "",
        origin=", ".join(request.headers.getall("Origin", [])),
        site=", ".join(request.headers.getall("Sec-Fetch-Site", [])),
        content_type=", ".join(types) if request.body_exists else None,
    )


def _refuse(request: web.Request, status: int, text: str) -> web.Response:
    is_denied = status == web.HTTPForbidden.status_code
    code = grpc.StatusCode.PERMISSION_DENIED if is_denied else grpc.StatusCode.INVALID_ARGUMENT
    is_json = request.content_type != PROTOBUF
    return error_response(RpcError(code, text), is_json=is_json, status=status)


def _without_traceback(record: logging.LogRecord) -> bool:
    """Reduce the log record of a malformed request to one line."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError | web.RequestPayloadError):
        record.msg, record.args, record.exc_info = "A malformed request: %r", (error,), None
    return True
