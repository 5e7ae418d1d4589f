"""Serve HTTP on a port of this machine until the stack closes."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from aiohttp import web

from adjourn_local.runtime.ports import HOST


async def serve_http(closing: AsyncExitStack, port: int, runner: web.AppRunner) -> None:
    """Serve an application until the stack closes."""
    await runner.setup()
    closing.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, HOST, port).start()


async def cancelled(work: asyncio.Task[Any]) -> None:
    """Cancel work and wait until it has ended, whatever comes of it."""
    work.cancel()
    await asyncio.wait({work})
