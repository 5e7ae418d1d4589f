"""The laptop stack: starts and stops the servers and the functions."""

import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
from aiohttp import web
from starlette.types import ASGIApp

from adjourn import App
from adjourn.settings import Settings
from adjourn_local.console.mount import mounted
from adjourn_local.database import keep_aside_if_damaged
from adjourn_local.datastore import Concurrency
from adjourn_local.http import rest
from adjourn_local.http.faults import NO_FAULTS, FaultInjectingSender, Faults
from adjourn_local.iam import laptop as iam
from adjourn_local.runtime import ports
from adjourn_local.runtime.accounts import Accounts, emulators, serve_grpc
from adjourn_local.runtime.control import control_routes
from adjourn_local.runtime.folder import StateFolder
from adjourn_local.runtime.functions import NAMES, Functions, Print, Staged
from adjourn_local.runtime.loop import LoopThread
from adjourn_local.runtime.servers import ServerOptions, Servers
from adjourn_local.scheduler.server import SchedulerServer
from adjourn_local.tasks.options import DEFAULTS, TasksOptions
from adjourn_local.tasks.server import TasksServer
from adjourn_local.timing.clock_offset import SIZE
from adjourn_local.timing.clocks import AdjustableClock, ApplicationClock
from adjourn_local.tokens.issuer import TokenIssuer

PROJECT = "adjourn-local"
LOCATION = "europe-west1"
SERVICE_ACCOUNT = "tasks@adjourn-local.iam.gserviceaccount.com"
QUEUE = "default"
USER_AUDIENCE = "people.adjourn-local.apps.googleusercontent.com"

_PORTS = ("grpc", "http", *NAMES)
_PARENT = f"projects/{PROJECT}/locations/{LOCATION}"
_LARGEST_REQUEST = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The ports on loopback of the servers and the functions."""

    grpc: int
    http: int
    deferred: int
    cron: int
    queryiter: int

    def url(self, name: str) -> str:
        """Return the base URL of a function, or of the HTTP server for the name `http`."""
        return f"http://{ports.HOST}:{getattr(self, name)}"

    def environment(self) -> Mapping[str, str]:
        """Return the variables that point adjourn and Google's clients to this stack."""
        return {
            "ADJOURN_PROJECT": PROJECT,
            "ADJOURN_LOCATION": LOCATION,
            "ADJOURN_QUEUE": QUEUE,
            "ADJOURN_DEFERRED_URL": self.url("deferred"),
            "ADJOURN_QUERYITER_URL": self.url("queryiter"),
            "ADJOURN_CRON_URL": self.url("cron"),
            "ADJOURN_SERVICE_ACCOUNT": SERVICE_ACCOUNT,
            "ADJOURN_PEOPLE_AUDIENCES": USER_AUDIENCE,
            "ADJOURN_KEYS_URL": f"{self.url('http')}/oauth2/v1/certs",
            **emulators(f"{ports.HOST}:{self.grpc}"),
            "DATASTORE_DATASET": PROJECT,
            "GOOGLE_CLOUD_PROJECT": PROJECT,
        }


class Stack:
    """Runs Cloud Tasks, Cloud Scheduler, Datastore, a token issuer and an application's functions.

    Args:
        app: The application, imported from `spec`; None to run the servers alone, without
            functions, declared queues and jobs.
        spec: The import path of the application for the functions, `package.module:app`.
        source: The folder from which the functions import it; the current one if None.
        state: Folder of the state file; if None, a temporary folder that is removed at the end.
        base_port: First of five ports; 0 for the ports that the state was last used with, or free
            ones.
        tasks: The options of Cloud Tasks.
        write: Called with a function's name and each line that the function prints.
        skips_overlapping: Skip a scheduled start of a job that is still running, instead of
            delaying the start.
        concurrency: The concurrency mode of Datastore's transactions.
        faults: The faults to inject into deliveries.
        sender: Sends requests to the functions; tests pass one that sends them elsewhere.
        accounts: The accounts whose calls are checked, which tests pass; those of the functions
            and of the application if `enforces_iam`.
        enforces_iam: Let functions and application do only what Terraform grants to their accounts.
        staged: The packaged functions to run, without this environment's packages on their path;
            None for those that are installed.
    """

    def __init__(
        self,
        app: App | None,
        spec: str = "",
        *,
        source: Path | None = None,
        state: Path | None = None,
        base_port: int = 0,
        tasks: TasksOptions = DEFAULTS,
        write: Print = lambda _name, _line: None,
        skips_overlapping: bool = False,
        concurrency: Concurrency = Concurrency.PESSIMISTIC,
        faults: Faults = NO_FAULTS,
        sender: FaultInjectingSender | None = None,
        accounts: Accounts | None = None,
        enforces_iam: bool = False,
        staged: Staged | None = None,
    ) -> None:
        self._app = app
        self._options = ServerOptions(
            tasks=tasks, skips_overlapping=skips_overlapping, concurrency=concurrency
        )
        self.clock = AdjustableClock()
        self.sender = sender or FaultInjectingSender(self.clock)
        self.sender.faults = faults
        self._functions = Functions(spec, source or Path.cwd(), write, staged)
        self.accounts = _accounts(app) if app and enforces_iam else accounts
        self._closing = AsyncExitStack()
        self._revision = uuid.uuid4().hex
        self._folder = StateFolder(state)
        self.ports = Ports(**dict(zip(_PORTS, ports.choose(base_port, state), strict=True)))

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as closing:
            folder = closing.enter_context(self._folder)
            # The functions are started first because they take longest.
            closing.push_async_callback(self._functions.stop)
            if self._app is not None:
                environments = {name: self._environment_of(name) for name in NAMES}
                # Report an invalid setting once, not per function.
                Settings.from_env(environments[NAMES[0]])
                await self._functions.start(
                    {name: getattr(self.ports, name) for name in NAMES},
                    environments,
                    self._shared_clock(closing),
                )
            await self._serve(closing, folder / "adjourn.sqlite3")
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

    @property
    def issuer(self) -> TokenIssuer:
        """The token issuer."""
        return self._servers.issuer

    @property
    def tasks(self) -> TasksServer:
        """The Cloud Tasks server."""
        return self._servers.tasks

    @property
    def scheduler(self) -> SchedulerServer:
        """The Cloud Scheduler server."""
        return self._servers.scheduler

    async def _serve(self, closing: AsyncExitStack, path: Path) -> None:
        keep_aside_if_damaged(path)
        closing.push_async_callback(self.sender.close)
        self._servers = servers = Servers(path, self.clock, self.sender, self._options)
        closing.callback(servers.close)
        control = control_routes(self.sender, self.clock, servers.scheduler.recover)
        routes = [*control, *servers.http_routes(), *self._console(), rest.unknown()]
        await self._serve_http(closing, routes)
        services = self._grpc_services()
        await serve_grpc(closing, services, f"{ports.HOST}:{self.ports.grpc}")
        if self.accounts:
            await self.accounts.serve(closing, services)
        # The functions stop before the servers: what they are finishing may still need them.
        closing.push_async_callback(self._functions.stop)
        if self._app is not None:
            self._provide(self._app)
        await servers.tasks.start()
        closing.push_async_callback(servers.tasks.halt)
        await servers.scheduler.start()
        closing.push_async_callback(servers.scheduler.stop)

    def _console(self) -> Sequence[web.RouteDef]:
        def make() -> ASGIApp:
            from adjourn_local.console.opening import laptop  # noqa: PLC0415 - for who looks at it
            from adjourn_local.console.site import console  # noqa: PLC0415

            settings = Settings.from_env(self.environment())
            datastore = f"{ports.HOST}:{self.ports.grpc}"
            return console(laptop(settings, self._app, ApplicationClock(self.clock), datastore))

        return mounted(make, "/console")

    def _grpc_services(self) -> Sequence[grpc.GenericRpcHandler]:
        return self._servers.grpc_services()

    def _shared_clock(self, closing: AsyncExitStack) -> Path:
        """Return a new file through which the functions follow the stack's clock."""
        folder = closing.enter_context(tempfile.TemporaryDirectory(prefix="adjourn-"))
        path = Path(folder) / "clock"
        path.write_bytes(bytes(SIZE))
        self.clock.share(path)
        return path

    def _provide(self, app: App) -> None:
        """Create the application's queues and jobs, as Terraform does in the cloud."""
        for queue in _queues(app):
            self.tasks.ensure_queue(queue)
        for name in app.cron_names():
            self.scheduler.ensure_job(
                name=f"{_PARENT}/jobs/{name}",
                schedule="* * * * *",
                time_zone="Etc/UTC",
                uri=f"{self.ports.url('cron')}/{name}",
                service_account=SERVICE_ACCOUNT,
                audience=self.ports.url("cron"),
            )

    async def _serve_http(self, closing: AsyncExitStack, routes: Sequence[web.RouteDef]) -> None:
        application = web.Application(client_max_size=_LARGEST_REQUEST)
        application.add_routes(routes)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        closing.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, ports.HOST, self.ports.http).start()

    def environment(self) -> Mapping[str, str]:
        """Return the variables that point an application to this stack.

        Each start has a revision of its own. Where IAM is enforced, the application calls as its
        own account.
        """
        return {
            "ADJOURN_REVISION": self._revision,
            **self.ports.environment(),
            **self._calling_as(iam.APPLICATION),
        }

    def _environment_of(self, function: str) -> Mapping[str, str]:
        environment = self._functions.environment(self.environment())
        return {**environment, **self._calling_as(function)}

    def _calling_as(self, name: str) -> Mapping[str, str]:
        email = iam.laptop(PROJECT, ()).email(name)
        accounts = self.accounts
        return accounts.environment(email) if accounts and email in accounts else {}


def _queues(app: App) -> Sequence[str]:
    return [f"{_PARENT}/queues/{name}" for name in sorted(app.queues(QUEUE))]


def _accounts(app: App) -> Accounts:
    """Return the accounts of the functions and of the application, with what they may do."""
    deployment = iam.laptop(PROJECT, _queues(app))
    emails = [deployment.email(name) for name in (*NAMES, iam.APPLICATION)]
    return Accounts(emails, iam.bindings(deployment))


@contextmanager
def running(stack: Stack) -> Iterator[LoopThread]:
    """Run a stack on an event loop in a thread of its own, and yield the loop."""
    with LoopThread() as loop:
        loop.run(stack.__aenter__())
        try:
            yield loop
        finally:
            loop.run(stack.__aexit__(None, None, None))
