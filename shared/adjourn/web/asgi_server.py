"""The functions in an ASGI application, such as one of Starlette, FastAPI or Django."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeAlias

from adjourn.app import App
from adjourn.concurrency import PerProcess
from adjourn.coroutines import LoopEndedError, finished, on_loop
from adjourn.errors import BrokenBodyError, SlowBodyError
from adjourn.log import event
from adjourn.requests.gate import RequestBody
from adjourn.requests.responses import Response, text
from adjourn.requests.wsgi import Environ
from adjourn.settings import PREFIX
from adjourn.web.mount import Mount

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

# As many as Cloud Run lets one instance have at once, or so; they are started as they are needed.
_THREADS = 256
_ENDED = "The server stops in the middle of a delivery; it is delivered again"
_PLAIN = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}


def asgi(app: App, others: Application | None = None, *, prefix: str = PREFIX) -> Application:
    """Return an ASGI application that serves the three functions under a prefix.

    Their URLs are the prefix followed by `/deferred`, `/cron` and `/queryiter`. Set
    `ADJOURN_SERVICE_URL` to that of the service with the prefix, such as
    `https://shop.example/_adjourn`.

    Args:
        app: The application whose tasks are served.
        others: Answers all other requests, and receives the events of the application's life; None
            where a framework mounts what is returned at the prefix.
        prefix: Begins the paths that are ours.

    Raises:
        ConfigurationError: The prefix is wrong or, where a deployment is set in the environment, a
            setting is; the message says what to change.
        DeclarationError: A task cannot run in this deployment.
    """
    mount, application = Mount(app, prefix), others or _not_found
    threads = PerProcess(lambda: ThreadPoolExecutor(_THREADS, "adjourn-web"))

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        script = _as_bytes(scope.get("root_path", "")).rstrip("/")
        path = _within(script, _as_bytes(scope.get("path", "")))
        place = mount.find(script, path) if scope["type"] == "http" else None
        if place is None:
            await application(scope, receive, send)
            return
        loop = asyncio.get_running_loop()
        environ = _environ(scope)
        body = environ["wsgi.input"] = _Body(environ, receive, loop)

        def work() -> Response:
            try:
                with on_loop(loop):
                    return mount.respond(place, environ)
            except LoopEndedError as error:
                event("service.unavailable", logging.WARNING, _ENDED, error=error)
                return text(503, "trouble\n")

        response = await loop.run_in_executor(threads(), copy_context().run, work)
        await _respond(send, response, scope, is_last=not body.is_read)

    return serve


async def _respond(send: Send, response: Response, scope: Scope, *, is_last: bool) -> None:
    headers = list(response.headers)
    # Nobody has to read a body that we have not read in order to find the next request. From HTTP/2
    # on, requests have frames, and the header is forbidden (RFC 9113, 8.2.2).
    if is_last and scope.get("http_version", "1.1").startswith("1"):
        headers.append(("Connection", "close"))
    await send(
        {
            "type": "http.response.start",
            "status": response.status,
            "headers": [
                (name.lower().encode(), value.encode("latin-1")) for name, value in headers
            ],
        }
    )
    body = b"" if scope["method"] == "HEAD" else response.body
    await send({"type": "http.response.body", "body": body})


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI's
    if scope["type"] == "http":
        await _respond(send, text(404, "not found\n"), scope, is_last=True)
    elif scope["type"] == "websocket":
        await send({"type": "websocket.close"})


def _as_bytes(path: str) -> str:
    """Return a path as WSGI has it (PEP 3333): each byte is a character of Latin 1."""
    return path if path.isascii() else path.encode(errors="replace").decode("latin-1")


def _within(script: str, path: str) -> str:
    """Return the path below `script`, which servers put before it and older frameworks do not."""
    return f"/{path.removeprefix(f'{script}/').lstrip('/')}"


def _environ(scope: Scope) -> Environ:
    """Return the WSGI environment of a request, as far as we go by it."""
    client = scope.get("client") or ("",)
    environ = {"REQUEST_METHOD": scope["method"], "REMOTE_ADDR": client[0]}
    for name, value in _headers(scope["headers"]):
        environ[name] = f"{environ[name]},{value}" if name in environ else value
    return environ


def _headers(headers: Iterable[tuple[bytes, bytes]]) -> Iterable[tuple[str, str]]:
    for raw, value in headers:
        name = raw.decode("latin-1").lower()
        # `a_b` would be taken for `a-b`, as which the platform does not know it.
        if "_" not in name:
            variable = _PLAIN.get(name) or f"HTTP_{name.upper().replace('-', '_')}"
            yield variable, value.decode("latin-1")


class _Body(RequestBody):
    """The body of a request, which a thread reads by way of the loop."""

    def __init__(self, environ: Environ, receive: Receive, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__({**environ, "wsgi.input": None, "wsgi.input_terminated": True})
        self._receive = receive
        self._loop = loop

    def _within_time(self, size: int) -> bytes:
        with on_loop(self._loop):
            body: bytes = finished(self._read(size))
        return body

    async def _read(self, size: int) -> bytes:
        """Return the body; no more than `size` bytes are read, but for the last piece."""
        pieces: list[bytes] = []
        try:
            async with asyncio.timeout(self._seconds):
                while size > 0:
                    message = await self._receive()
                    if message["type"] != "http.request":
                        raise BrokenBodyError
                    pieces.append(message.get("body", b""))
                    size -= len(pieces[-1])
                    if not message.get("more_body"):
                        break
        except TimeoutError:
            raise SlowBodyError from None
        return b"".join(pieces)
