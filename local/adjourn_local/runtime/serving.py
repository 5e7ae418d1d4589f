"""Serve HTTP and gRPC on one port of this machine until the stack closes.

Google's Datastore emulator has one port for both, so some clients are given one address only.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from aiohttp import web

from adjourn_local.http.grpc_server import GrpcServer
from adjourn_local.http.http2_frames import PREFACE


async def serve_http(
    closing: AsyncExitStack, runner: web.AppRunner, host: str, port: int, grpc_server: GrpcServer
) -> None:
    """Serve an application until the stack closes.

    Args:
        closing: Where the end is noted.
        runner: The application.
        host: The address to listen at.
        port: The port to listen at.
        grpc_server: Serves the connections that are HTTP/2.
    """
    await runner.setup()
    closing.push_async_callback(runner.cleanup)
    silent: set[Any] = set()
    connection = partial(_Either, runner.server, grpc_server, silent)
    server = await asyncio.get_running_loop().create_server(connection, host, port)

    def close() -> None:
        server.close()
        for transport in silent:
            transport.abort()

    closing.callback(close)


async def cancelled(work: asyncio.Task[Any]) -> None:
    """Cancel work and wait until it has ended, whatever comes of it."""
    work.cancel()
    await asyncio.wait({work})


class _Either(asyncio.Protocol):
    """A connection before it is known what it speaks: until then it is among the silent ones.

    Browsers open some that they do not use at once.
    """

    def __init__(
        self, http: Callable[[], Any] | None, grpc_server: GrpcServer, silent: set[Any]
    ) -> None:
        self._http = http
        self._grpc = grpc_server
        self._silent = silent
        self._begun = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._silent.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - of the protocol
        self._silent.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._begun += data
        if len(self._begun) < len(PREFACE) and PREFACE.startswith(self._begun):
            return
        is_http2 = self._begun.startswith(PREFACE)
        protocol = self._grpc.connection() if is_http2 or not self._http else self._http()
        self._silent.discard(self._transport)
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(self._begun)
