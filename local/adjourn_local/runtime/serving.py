"""Serve HTTP on a port of this machine until the stack closes; gRPC that comes there is passed on.

Google's Datastore emulator has one port for both, so some clients are given one address only.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from aiohttp import web

# How an HTTP/2 connection begins, https://www.rfc-editor.org/rfc/rfc9113#section-3.4
_PREFACE = b"PRI * HTTP/2.0"


async def serve_http(
    closing: AsyncExitStack, runner: web.AppRunner, host: str, port: int, grpc_port: int
) -> None:
    """Serve an application until the stack closes.

    Args:
        closing: Where the end is noted.
        runner: The application.
        host: The address to listen at.
        port: The port to listen at.
        grpc_port: The port at the same address to which HTTP/2 connections are passed on.
    """
    await runner.setup()
    closing.push_async_callback(runner.cleanup)
    loop = asyncio.get_running_loop()
    http = runner.server
    server = await loop.create_server(lambda: _Either(http, host, grpc_port), host, port)
    closing.callback(server.close)


async def cancelled(work: asyncio.Task[Any]) -> None:
    """Cancel work and wait until it has ended, whatever comes of it."""
    work.cancel()
    await asyncio.wait({work})


class _Either(asyncio.Protocol):
    """A connection before it is known what it speaks."""

    def __init__(self, http: Callable[[], Any] | None, host: str, grpc_port: int) -> None:
        self._http = http
        self._grpc = (host, grpc_port)
        self._begun = b""
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._begun += data
        if len(self._begun) < len(_PREFACE) and _PREFACE.startswith(self._begun):
            return
        if self._begun.startswith(_PREFACE):
            self._transport.pause_reading()
            self._connecting = asyncio.ensure_future(self._pass_on())
        elif self._http is not None:
            protocol = self._http()
            self._transport.set_protocol(protocol)
            protocol.connection_made(self._transport)
            protocol.data_received(self._begun)

    async def _pass_on(self) -> None:
        near = _Pipe(self._transport)
        try:
            loop = asyncio.get_running_loop()
            far, _ = await loop.create_connection(lambda: near, *self._grpc)
        except OSError:
            self._transport.abort()
            return
        self._transport.set_protocol(_Pipe(far))
        if self._transport.is_closing():
            far.abort()
            return
        far.write(self._begun)
        self._transport.resume_reading()


class _Pipe(asyncio.Protocol):
    """One half of a connection that is passed on: what it receives goes to the other half."""

    def __init__(self, other: Any) -> None:
        self._other = other

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._own: Any = transport

    def data_received(self, data: bytes) -> None:
        self._other.write(data)

    def pause_writing(self) -> None:
        self._other.pause_reading()

    def resume_writing(self) -> None:
        if not self._other.is_closing():
            self._other.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - of the protocol
        self._other.close()
