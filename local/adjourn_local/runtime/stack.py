"""The whole stack: servers, issuer and functions, put together and taken apart."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc.aio
from aiohttp import web

from adjourn import App
from adjourn.settings import Settings
from adjourn_local.database import keep_aside_if_damaged
from adjourn_local.datastore import Concurrency, DatastoreServer
from adjourn_local.http import locations, rest
from adjourn_local.http.faults import NONE, Faults
from adjourn_local.http.faulty_sender import FaultySender
from adjourn_local.runtime import ports
from adjourn_local.runtime.control import control_routes
from adjourn_local.runtime.folder import take
from adjourn_local.runtime.functions import NAMES, Functions, Print, Staged
from adjourn_local.runtime.loop import LoopThread
from adjourn_local.scheduler.server import SchedulerServer
from adjourn_local.tasks.options import DEFAULTS, Options
from adjourn_local.tasks.server import TasksServer
from adjourn_local.timing.clock import SteeredClock
from adjourn_local.timing.clock_offset import SIZE
from adjourn_local.tokens.issuer import TokenIssuer
from adjourn_local.tokens.user_tokens import person_routes

PROJECT = "adjourn-local"
LOCATION = "europe-west1"
SERVICE_ACCOUNT = "tasks@adjourn-local.iam.gserviceaccount.com"
QUEUE = "default"
PEOPLE = "people.adjourn-local.apps.googleusercontent.com"

_PORTS = ("grpc", "http", *NAMES)
_LARGEST_REQUEST = 16 << 20
# Lets clients that are still connected learn of the end before their connections do.
_GRACE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where everything listens on loopback."""

    grpc: int
    http: int
    deferred: int
    cron: int
    queryiter: int

    def url(self, name: str) -> str:
        """Return the base URL of a function, or of the HTTP server (`http`)."""
        return f"http://{ports.HOST}:{getattr(self, name)}"

    def environment(self) -> Mapping[str, str]:
        """Return the variables that lead adjourn and Google's clients to this stack."""
        return {
            "ADJOURN_PROJECT": PROJECT,
            "ADJOURN_LOCATION": LOCATION,
            "ADJOURN_QUEUE": QUEUE,
            "ADJOURN_DEFERRED_URL": self.url("deferred"),
            "ADJOURN_QUERYITER_URL": self.url("queryiter"),
            "ADJOURN_CRON_URL": self.url("cron"),
            "ADJOURN_SERVICE_ACCOUNT": SERVICE_ACCOUNT,
            "ADJOURN_PEOPLE_AUDIENCES": PEOPLE,
            "ADJOURN_KEYS_URL": f"{self.url('http')}/oauth2/v1/certs",
            "CLOUDTASKS_EMULATOR_HOST": f"{ports.HOST}:{self.grpc}",
            "CLOUDSCHEDULER_EMULATOR_HOST": f"{ports.HOST}:{self.grpc}",
            "DATASTORE_EMULATOR_HOST": f"{ports.HOST}:{self.grpc}",
            "DATASTORE_DATASET": PROJECT,
            "GOOGLE_CLOUD_PROJECT": PROJECT,
        }


class Stack:
    """Cloud Tasks, Cloud Scheduler, Datastore, token issuer and the functions of one application.

    Args:
        app: The application, imported from `spec`; None for the services alone, with no functions
            and with no queues and jobs but those that somebody makes.
        spec: Where the functions find it, `package.module:app`.
        state: Folder of the state file; a temporary one, removed at the end, if None.
        base_port: First of five ports; if 0, those that the state had before, or free ones.
        tasks: How Cloud Tasks behaves.
        write: Takes each line that a function prints, after the function's name.
        skips_overlapping: Leave out a job's start that falls due while the job runs, instead of
            delaying it.
        concurrency: The mode of Datastore's transactions.
        faults: What goes wrong with deliveries.
        sender: The way from the queues to the functions, for tests that lead it elsewhere.
        staged: The packaged functions to run, with nothing else on their path; the checkout's if
            None.
    """

    def __init__(
        self,
        app: App | None,
        spec: str = "",
        *,
        state: Path | None = None,
        base_port: int = 0,
        tasks: Options = DEFAULTS,
        write: Print = lambda _name, _line: None,
        skips_overlapping: bool = False,
        concurrency: Concurrency = Concurrency.PESSIMISTIC,
        faults: Faults = NONE,
        sender: FaultySender | None = None,
        staged: Staged | None = None,
    ) -> None:
        self._app = app
        self._spec = spec
        self._state = state
        self._options = tasks
        self._skips_overlapping = skips_overlapping
        self._concurrency = concurrency
        self.clock = SteeredClock()
        self.sender = sender or FaultySender(self.clock)
        self.sender.faults = faults
        self._staged = staged
        self._functions = Functions(write, staged)
        self._closing = AsyncExitStack()
        self._revision = uuid.uuid4().hex
        self._taken = take(state) if state else nullcontext()
        self.ports = Ports(**dict(zip(_PORTS, ports.choose(base_port, state), strict=True)))

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as closing:
            closing.enter_context(self._taken)
            # The functions take longest to start, so they begin first.
            closing.push_async_callback(self._functions.stop)
            if self._app is not None:
                Settings.from_env(self._function_environment())  # lest each function says it
                await self._functions.start(
                    {name: getattr(self.ports, name) for name in NAMES},
                    self._function_environment(),
                    self._shared_clock(closing),
                )
            await self._serve(closing)
            await self._functions.ready()
            self._closing = closing.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._closing.aclose()

    async def _serve(self, closing: AsyncExitStack) -> None:
        path = self._folder(closing) / "adjourn.sqlite3"
        keep_aside_if_damaged(path)
        self.issuer = issuer = TokenIssuer(self.clock)
        sender = self.sender
        closing.push_async_callback(sender.close)
        datastore = DatastoreServer(path, self.clock, concurrency=self._concurrency)
        closing.callback(datastore.close)
        self.tasks = TasksServer(path, self.clock, issuer.mint, sender, self._options)
        closing.callback(self.tasks.close)
        self.scheduler = scheduler = SchedulerServer(
            path,
            self.clock,
            issuer.mint,
            sender,
            app_engine=self._options.app_engine,
            skips_overlapping=self._skips_overlapping,
        )
        services = [
            *self.tasks.grpc_services(),
            *scheduler.grpc_services(),
            locations.grpc_service(),
            datastore.grpc_service(),
        ]
        routes = [
            *issuer.routes(),
            *person_routes(issuer),
            *self.tasks.http_routes(),
            *scheduler.http_routes(),
            *control_routes(sender, self.clock, scheduler.recover),
            *locations.http_routes(),
            *datastore.http_routes(),
            rest.unknown(),
        ]
        await self._serve_http(closing, routes)
        await self._serve_grpc(closing, services)
        # Whatever the functions are finishing may still need the servers.
        closing.push_async_callback(self._functions.stop)
        if self._app is not None:
            self._provide(self._app, scheduler)
        await self.tasks.start()
        closing.push_async_callback(self.tasks.halt)
        await scheduler.start()
        closing.push_async_callback(scheduler.stop)

    def _shared_clock(self, closing: AsyncExitStack) -> Path:
        """Return the file from which the functions learn the time."""
        folder = closing.enter_context(tempfile.TemporaryDirectory(prefix="adjourn-"))
        path = Path(folder) / "clock"
        path.write_bytes(bytes(SIZE))
        self.clock.share(path)
        return path

    def _folder(self, closing: AsyncExitStack) -> Path:
        if self._state is not None:
            return self._state
        folder = Path(tempfile.mkdtemp(prefix="adjourn-"))
        closing.callback(shutil.rmtree, folder, ignore_errors=True)
        return folder

    def _provide(self, app: App, scheduler: SchedulerServer) -> None:
        """Make the queues and jobs that the application declares, as Terraform does elsewhere."""
        parent = f"projects/{PROJECT}/locations/{LOCATION}"
        for queue in app.queues(QUEUE):
            self.tasks.ensure_queue(f"{parent}/queues/{queue}")
        for name in app.cron_names():
            scheduler.ensure_job(
                name=f"{parent}/jobs/{name}",
                schedule="* * * * *",
                time_zone="Etc/UTC",
                uri=f"{self.ports.url('cron')}/{name}",
                service_account=SERVICE_ACCOUNT,
                audience=self.ports.url("cron"),
            )

    async def _serve_grpc(
        self, closing: AsyncExitStack, services: Sequence[grpc.GenericRpcHandler]
    ) -> None:
        server = grpc.aio.server(options=[("grpc.max_receive_message_length", _LARGEST_REQUEST)])
        server.add_generic_rpc_handlers(services)
        server.add_insecure_port(f"{ports.HOST}:{self.ports.grpc}")
        await server.start()
        closing.push_async_callback(server.stop, _GRACE)

    async def _serve_http(self, closing: AsyncExitStack, routes: Sequence[web.RouteDef]) -> None:
        application = web.Application(client_max_size=_LARGEST_REQUEST)
        application.add_routes(routes)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        closing.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, ports.HOST, self.ports.http).start()

    def environment(self) -> Mapping[str, str]:
        """Return the variables that lead to this stack; each start counts as a deployment."""
        return {"ADJOURN_REVISION": self._revision, **self.ports.environment()}

    def _function_environment(self) -> Mapping[str, str]:
        paths = [str(Path.cwd()), os.environ.get("PYTHONPATH", "")]
        return {
            **os.environ,
            **self.environment(),
            "ADJOURN_APP": self._spec,
            "PYTHONPATH": "" if self._staged else os.pathsep.join(filter(None, paths)),
        }


@contextmanager
def running(stack: Stack) -> Iterator[LoopThread]:
    """Run a stack on a thread of its own, for synchronous code, and yield that for calls of it."""
    with LoopThread() as loop:
        loop.run(stack.__aenter__())
        try:
            yield loop
        finally:
            loop.run(stack.__aexit__(None, None, None))
