"""Serve an ASGI application under a path of an aiohttp server."""

import asyncio
from collections.abc import Callable
from functools import cache
from typing import Any

from aiohttp import web
from starlette.types import ASGIApp

from adjourn_local.http.bodies import BODY
from adjourn_local.http.gate import FORM, accepting


class MountedApp:
    """An ASGI application within an aiohttp server.

    Args:
        make: Returns the application, for the first request; it sees whole paths.
    """

    def __init__(self, make: Callable[[], ASGIApp]) -> None:
        self._make = cache(make)
        self._stopping = asyncio.Event()

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """Return the routes that serve it under a path, such as `/console`."""
        return [
            web.route("*", prefix, self._handle),
            web.route("*", f"{prefix}/{{path:.*}}", self._handle),
        ]

    async def stop(self, _server: web.Application) -> None:
        """Tell streams to end: the event `stopping` of the request's state is set."""
        self._stopping.set()

    @accepting(FORM)
    async def _handle(self, request: web.Request) -> web.StreamResponse:
        exchange = _Exchange(request)
        scope = _scope(request) | {"state": {"stopping": self._stopping}}
        await self._make()(scope, exchange.receive, exchange.send)
        return exchange.response


class _Exchange:
    """One request and its response, as ASGI passes them."""

    def __init__(self, request: web.Request) -> None:
        self.response = web.StreamResponse()
        self._request = request
        self._body: bytes | None = None
        self._is_over = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        if self._body is None:
            self._body = self._request[BODY]
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self._is_over.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        try:
            await self._send(message)
        except ConnectionError:  # the browser has left
            self._is_over.set()

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.response.set_status(message["status"])
            for name, value in message["headers"]:
                self.response.headers.add(name.decode("latin-1"), value.decode("latin-1"))
            await self.response.prepare(self._request)
            return
        if body := message.get("body", b""):
            await self.response.write(body)
        if not message.get("more_body", False):
            await self.response.write_eof()
            self._is_over.set()


def _scope(request: web.Request) -> dict[str, Any]:
    host, port = request.url.host, request.url.port
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": f"{request.version.major}.{request.version.minor}",
        "server": (host, port),
        "client": (request.remote, 0),
        "scheme": request.scheme,
        "method": request.method,
        "root_path": "",
        "path": request.path,
        "raw_path": request.rel_url.raw_path.encode(),
        "query_string": request.rel_url.raw_query_string.encode(),
        "headers": [(name.lower(), value) for name, value in request.raw_headers],
    }
