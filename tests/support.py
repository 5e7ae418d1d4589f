"""What several test modules need: servers on free loopback ports, over real sockets."""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import grpc.aio
from aiohttp import web

from adjourn_local.loop import LoopThread


@contextmanager
def serving(loop: LoopThread, *services: grpc.GenericRpcHandler) -> Iterator[str]:
    """Serve the given gRPC services on a free loopback port and yield its `host:port`."""

    async def start() -> tuple[grpc.aio.Server, int]:
        server = grpc.aio.server(options=[("grpc.max_receive_message_length", 16 << 20)])
        server.add_generic_rpc_handlers(services)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        return server, port

    server, port = loop.run(start())
    try:
        yield f"127.0.0.1:{port}"
    finally:
        loop.run(server.stop(None))


@contextmanager
def serving_http(loop: LoopThread, routes: list[web.RouteDef]) -> Iterator[str]:
    """Serve the given HTTP routes on a free loopback port and yield the base URL."""

    async def start() -> tuple[web.AppRunner, int]:
        app = web.Application()
        app.add_routes(routes)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return runner, runner.addresses[0][1]

    runner, port = loop.run(start())
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        loop.run(runner.cleanup())
