"""Serve HTTP on a port of this machine."""

from collections.abc import Sequence
from contextlib import AsyncExitStack

from aiohttp import web

from adjourn_local.runtime.ports import HOST

_LARGEST_REQUEST = 16 << 20


async def serve_http(closing: AsyncExitStack, port: int, routes: Sequence[web.RouteDef]) -> None:
    """Serve routes until the stack closes."""
    application = web.Application(client_max_size=_LARGEST_REQUEST)
    application.add_routes(routes)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    closing.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, HOST, port).start()
