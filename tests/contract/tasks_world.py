"""The Cloud Tasks server on a clock that tests set, Google's client and a worker that records."""

import asyncio
import datetime as dt
import queue
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from aiohttp import web
from google.auth.credentials import AnonymousCredentials
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from adjourn_local.http.sender import Sender
from adjourn_local.runtime.loop import LoopThread
from adjourn_local.tasks import Counters, TasksOptions, TasksServer
from adjourn_local.tasks.task_calls import random_id
from adjourn_local.timing.clocks import ManualClock
from tests.support import serving, serving_http

START = dt.datetime(2026, 11, 23, 12, 0, 0, 250_000, tzinfo=dt.UTC)
LOCATION = "projects/shop/locations/europe-west1"
QUEUE = f"{LOCATION}/queues/mail"
PATIENCE = 10


@dataclass(frozen=True)
class Arrival:
    """A request as the worker received it."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def __getitem__(self, name: str) -> str | None:
        return {key.lower(): value for key, value in self.headers}.get(name.lower())

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.headers]


@dataclass
class Worker:
    """An HTTP server that answers as configured, 200 by default; 0 stands for hanging up."""

    url: str = ""
    arrivals: "queue.Queue[Arrival]" = field(default_factory=queue.Queue)
    answers: deque[web.Response | int | None] = field(default_factory=deque)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.Response:
        """Record the request and give the next answer; None waits for `release`."""
        headers = tuple((k.decode(), v.decode()) for k, v in request.raw_headers)
        self.arrivals.put(Arrival(request.method, request.path_qs, headers, await request.read()))
        answer = self.answers.popleft() if self.answers else 200
        if answer is None:
            await self.release.wait()
            answer = 200
        if answer == 0 and request.transport is not None:
            request.transport.abort()
            answer = 500
        return web.Response(status=answer) if isinstance(answer, int) else answer

    def next(self) -> Arrival:
        """Return the next request, waiting for it."""
        return self.arrivals.get(timeout=PATIENCE)


@dataclass
class World:
    """A running server and everything around it."""

    loop: LoopThread
    clock: ManualClock
    path: Path
    worker: Worker
    sender: Sender
    options: dict[str, Any]
    transport: str = "grpc"
    new_id: Callable[[], str] = random_id
    url: str = ""
    minted: list[tuple[str, str]] = field(default_factory=list)
    mint_error: Exception | None = None
    server: TasksServer = None  # type: ignore[assignment]
    client: tasks_v2.CloudTasksClient = None  # type: ignore[assignment]

    @contextmanager
    def running(self) -> Iterator["World"]:
        """Run a server on the file; leave the block and enter another for a restart."""

        async def mint(email: str, audience: str) -> str:
            self.minted.append((email, audience))
            if self.mint_error is not None:
                raise self.mint_error
            return f"token-{len(self.minted)}"

        def build() -> TasksServer:
            options = TasksOptions(grace=0, **self.options)
            return TasksServer(
                self.path, self.clock, mint, self.sender, options, new_id=self.new_id
            )

        self.server = self.loop.call(build)
        with (
            serving(self.loop, *self.server.grpc_services()) as address,
            serving_http(self.loop, self.server.http_routes()) as self.url,
            grpc.insecure_channel(address) as channel,
        ):
            self.client = self._client(channel)
            self.loop.run(self.server.start())
            try:
                yield self
            finally:
                self.loop.run(self.server.stop())

    def _client(self, channel: grpc.Channel) -> tasks_v2.CloudTasksClient:
        if self.transport == "grpc":
            return tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        return tasks_v2.CloudTasksClient(
            transport="rest",
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": self.url},
        )

    def advance(self, seconds: float) -> None:
        """Move the clock and let everything run that needs no network."""
        self.loop.call(lambda: self.clock.advance(seconds))
        self.settle()

    def settle(self) -> None:
        """Let the loop finish what is at hand."""
        self.loop.run(turns(20))

    def counters(self) -> Counters:
        """Return the server's counters."""
        return self.loop.call(self.server.counters)

    def until(self, condition: Callable[[Counters], bool]) -> Counters:
        """Return the counters once they meet a condition."""

        async def wait() -> Counters:
            while not condition(counters := self.server.counters()):  # noqa: ASYNC110 - any change
                await asyncio.sleep(0)
            return counters

        return self.loop.run(wait(), PATIENCE)

    def answered(self, *, attempts: int) -> None:
        """Return once so many attempts were made and all have their answer."""
        self.until(lambda counters: counters.attempts == attempts and not counters.in_flight)

    def create(self, name: str = "", *, queue: str = QUEUE, **fields: Any) -> tasks_v2.Task:
        """Create a task for the worker."""
        request = {"url": self.worker.url, **fields.pop("http_request", {})}
        task: dict[str, Any] = {"http_request": request, **fields}
        if name:
            task["name"] = f"{queue}/tasks/{name}"
        return self.client.create_task(parent=queue, task=task)

    def make_queue(self, name: str = QUEUE, **fields: Any) -> tasks_v2.Queue:
        """Create a queue."""
        return self.client.create_queue(parent=LOCATION, queue={"name": name, **fields})


async def turns(count: int) -> None:
    """Let the event loop turn so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


@contextmanager
def tasks_world(
    loop: LoopThread,
    path: Path,
    *,
    transport: str = "grpc",
    new_id: Callable[[], str] = random_id,
    **options: Any,
) -> Iterator[World]:
    """Run a worker and prepare a server; `options` are the server's."""

    async def start() -> tuple[Worker, web.AppRunner, Sender]:
        worker = Worker()
        app = web.Application(client_max_size=4 << 20)
        app.router.add_route("*", "/{tail:.*}", worker.handle)
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        worker.url = f"http://{host}:{port}/work"
        return worker, runner, Sender(clock)

    async def stop() -> None:
        worker.release.set()
        await sender.close()
        await runner.cleanup()

    clock = ManualClock(START)
    worker, runner, sender = loop.run(start())
    try:
        yield World(loop, clock, path, worker, sender, options, transport, new_id)
    finally:
        loop.run(stop())


def older_client(world: World, types: Any, transport: Any) -> Any:
    """Return the client of an older version of the API, over the transport of a world.

    Args:
        world: The world.
        types: The package of the version.
        transport: Its transport over gRPC.
    """
    if world.transport == "grpc":
        channel = world.client.transport.grpc_channel
        return types.CloudTasksClient(transport=transport(channel=channel))
    return types.CloudTasksClient(
        transport="rest",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": world.url},
    )
