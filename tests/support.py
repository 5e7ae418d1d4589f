"""What several test modules need: servers on free loopback ports, over real sockets."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from aiohttp import web
from google.api_core.exceptions import GoogleAPICallError

from adjourn_local.errors import StackError
from adjourn_local.http import application
from adjourn_local.http.grpc_server import GrpcServer
from adjourn_local.runtime.loop import LoopThread
from adjourn_local.runtime.ports import choose, listen

# The settings of a deployment that no test reaches.
SHOP = {
    "ADJOURN_PROJECT": "shop",
    "ADJOURN_LOCATION": "europe-west1",
    "ADJOURN_DEFERRED_URL": "https://deferred.example",
    "ADJOURN_QUERYITER_URL": "https://queryiter.example",
    "ADJOURN_CRON_URL": "https://cron.example",
    "ADJOURN_SERVICE_ACCOUNT": "tasks@shop.iam.gserviceaccount.com",
}


@contextmanager
def serving(loop: LoopThread, *services: grpc.GenericRpcHandler) -> Iterator[str]:
    """Serve the given gRPC services on a free loopback port and yield its `host:port`."""

    server = GrpcServer(services)
    try:
        yield f"127.0.0.1:{loop.run(server.listen('127.0.0.1', 0))}"
    finally:
        loop.run(server.stop())


@contextmanager
def serving_http(loop: LoopThread, routes: Sequence[web.RouteDef]) -> Iterator[str]:
    """Serve routes of the stack on a free loopback port, as the stack does; yield the base URL."""
    with _listening(loop, lambda: application.runner(routes)) as url:
        yield url


@contextmanager
def serving_others(loop: LoopThread, routes: Sequence[web.RouteDef]) -> Iterator[str]:
    """Serve routes that stand for others than the stack, and yield the base URL."""

    def runner() -> web.AppRunner:
        app = web.Application(client_max_size=16 << 20)
        app.add_routes(routes)
        return web.AppRunner(app, access_log=None, shutdown_timeout=1)

    with _listening(loop, runner) as url:
        yield url


@contextmanager
def _listening(loop: LoopThread, make: Callable[[], web.AppRunner]) -> Iterator[str]:
    async def start() -> tuple[web.AppRunner, int]:
        runner = make()
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return runner, runner.addresses[0][1]

    runner, port = loop.run(start())
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        loop.run(runner.cleanup())


@dataclass
class Refusal:
    """What a server said when it refused a call, once it has."""

    text: str = ""


@contextmanager
def refused(status: str, text: str | None = None, *, match: str = "") -> Iterator[Refusal]:
    """Expect that a call of a Google client, over gRPC or REST, ends with a status and a text.

    Args:
        status: The name of the code.
        text: The whole text, if all of it matters.
        match: What the text has to contain, as a regular expression.

    The REST clients choose the class of an error by its HTTP status, which several codes share.
    """
    refusal = Refusal()
    with pytest.raises(GoogleAPICallError) as caught:
        yield refusal
    seen, refusal.text = _told(caught.value)
    assert seen == status
    assert text in (None, refusal.text)
    assert re.search(match, refusal.text)


def _told(error: GoogleAPICallError) -> tuple[str, str]:
    if isinstance(error.response, grpc.RpcError):
        return error.grpc_status_code.name, error.message
    content = error.response.json()["error"]
    return content["status"], content["message"]


def variables_of(pid: int, folder: Path) -> dict[str, str]:
    """Return the variables that lead to an `adjourn up` which says that it is up.

    Args:
        pid: Its process, or that of a program which has started it as the only one there.
        folder: Where it was started.
    """
    stacks = folder / ".adjourn" / "stacks"
    file = stacks / f"{pid}.json"
    if not file.exists():
        (file,) = stacks.glob("*.json")
    environment: dict[str, str] = json.loads(file.read_text())["environment"]
    return environment


def free_base() -> int:
    """Return a port from which on all ports of a stack are free.

    What it returns may be taken by somebody else a moment later.
    """
    while True:
        ports = choose(0, None)
        block = range(ports[0], ports[0] + len(ports))
        with suppress(StackError):
            for port in block:
                listen(port).close()
            return block.start


async def a_token(_email: str, _audience: str) -> str:
    """Return what stands for a token, to targets that look at none."""
    return "token"
