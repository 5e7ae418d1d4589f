"""A Cloud Scheduler on sockets with a clock of its own, and a handler that records its calls."""

import asyncio
import datetime as dt
import functools
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import grpc
from aiohttp import web
from google.auth.credentials import AnonymousCredentials
from google.cloud import scheduler_v1
from google.cloud.scheduler_v1.services.cloud_scheduler.transports import (
    CloudSchedulerGrpcTransport,
)

from adjourn_local.http.sender import Sender
from adjourn_local.scheduler import SchedulerServer
from adjourn_local.timing.clocks import ManualClock
from adjourn_local.tokens.issuer import TokenIssuer
from tests.support import serving, serving_http, serving_others

LOCATION = "projects/p/locations/europe-west3"
NOON = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    at: dt.datetime
    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name):
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) <= 1
        return values[0] if values else None

    @property
    def scheduled(self):
        return self.header("X-CloudScheduler-ScheduleTime")


class Handler:
    """Answers with the statuses in `answers`, then with 200; does not answer while `held`."""

    def __init__(self, clock):
        self._clock = clock
        self.calls = []
        self.answers = []
        self.held = False
        self.called = asyncio.Event()
        self._waiting = []

    def routes(self):
        return [web.route("*", "/{path:.*}", self._answer)]

    async def _answer(self, request):
        body = await request.read()
        self.calls.append(
            Call(
                at=self._clock.now(),
                method=request.method,
                path=request.path_qs,
                headers=list(request.headers.items()),
                body=body,
            )
        )
        self.called.set()
        status = self.answers.pop(0) if self.answers else 200
        if self.held:
            gate = asyncio.get_running_loop().create_future()
            self._waiting.append(gate)
            await gate
        return web.Response(status=status)

    def release(self):
        self.held = False
        for gate in self._waiting:
            if not gate.done():
                gate.set_result(None)
        self._waiting.clear()


class Stack:
    def __init__(self, loop, path, *, clock, handler, url, transport="grpc", **options):
        self._loop = loop
        self._transport = transport
        self._path = path
        self._options = options
        self.clock = clock
        self.handler = handler
        self.url = url

    @functools.cached_property
    def issuer(self):
        """Make keys only for the tests that need them: it takes a while."""
        return TokenIssuer(self.clock)

    async def mint(self, email, audience):
        return await self.issuer.token(email, audience)

    @contextmanager
    def stopped(self):
        """Make a server that has not been started."""
        sender = Sender(self.clock)
        self.server = self._loop.call(
            lambda: SchedulerServer(self._path, self.clock, self.mint, sender, **self._options)
        )
        with ExitStack() as cleanup:
            cleanup.callback(lambda: self._loop.run(sender.close()))
            cleanup.callback(lambda: self._loop.run(self.server.stop()))
            yield

    @contextmanager
    def running(self):
        """Run a server and yield Google's client for it."""
        with self.stopped(), ExitStack() as cleanup:
            address = cleanup.enter_context(serving(self._loop, *self.server.grpc_services()))
            channel = cleanup.enter_context(grpc.insecure_channel(address))
            self.rest = cleanup.enter_context(serving_http(self._loop, self.server.http_routes()))
            self._loop.run(self.server.start())
            yield self._client(channel)

    def _client(self, channel):
        if self._transport == "grpc":
            transport = CloudSchedulerGrpcTransport(channel=channel)
            return scheduler_v1.CloudSchedulerClient(transport=transport)
        return scheduler_v1.CloudSchedulerClient(
            transport="rest",
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": self.rest},
        )

    def advance(self, seconds=0):
        """Move the clock and let everything that is due happen, answers included."""
        self._loop.call(lambda: self.clock.advance(seconds))
        self._loop.run(self.server.idle(), 20)

    def advance_until_called(self, seconds=0, *, calls):
        """Move the clock and wait until the handler has had so many calls, answered or not."""

        async def wait():
            self.clock.advance(seconds)
            async with asyncio.timeout(10):
                while len(self.handler.calls) < calls:
                    self.handler.called.clear()
                    await self.handler.called.wait()

        self._loop.run(wait())
        assert len(self.handler.calls) == calls

    def release(self):
        """Let held calls be answered, and wait for what follows from it."""
        self._loop.call(self.handler.release)
        self._loop.run(self.server.idle(), 20)

    def call(self, function):
        """Call a function on the server's loop."""
        return self._loop.call(function)

    def ensure_job(self, **job):
        self._loop.call(lambda: self.server.ensure_job(**job))

    @property
    def times(self):
        """Return when the handler was called, as seconds since noon."""
        return [(call.at - NOON).total_seconds() for call in self.handler.calls]

    def job(self, name="j", *, schedule="* * * * *", **fields):
        target = scheduler_v1.HttpTarget(uri=f"{self.url}/cron", **fields.pop("target", {}))
        return scheduler_v1.Job(
            name=f"{LOCATION}/jobs/{name}", schedule=schedule, http_target=target, **fields
        )


@contextmanager
def prepared(loop, tmp_path, **options):
    clock = ManualClock(NOON)
    handler = Handler(clock)
    with serving_others(loop, handler.routes()) as url:
        try:
            yield Stack(
                loop, tmp_path / "state.db", clock=clock, handler=handler, url=url, **options
            )
        finally:
            loop.call(handler.release)
