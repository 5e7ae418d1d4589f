"""The laptop stack: starts and stops the servers and the functions."""

import asyncio
import dataclasses
import tempfile
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
from aiohttp import web
from starlette.types import ASGIApp

from adjourn import App
from adjourn.settings import Settings
from adjourn_local.console.activity import Activity
from adjourn_local.console.mount import MountedApp
from adjourn_local.database import keep_aside_if_damaged
from adjourn_local.datastore import Concurrency
from adjourn_local.errors import StackError
from adjourn_local.http import rest
from adjourn_local.http.application import runner
from adjourn_local.http.faults import NO_FAULTS, FaultInjectingSender, Faults
from adjourn_local.iam import laptop as iam
from adjourn_local.iam.policy import Policy
from adjourn_local.runtime import ports
from adjourn_local.runtime.accounts import Accounts, serve_grpc
from adjourn_local.runtime.addresses import LOCATION, PROJECT, SERVICE_ACCOUNT, Ports
from adjourn_local.runtime.control import control_routes
from adjourn_local.runtime.declarations import Declared
from adjourn_local.runtime.folder import StateFolder
from adjourn_local.runtime.function_process import Print
from adjourn_local.runtime.functions import NAMES, Functions, Generation, Staged
from adjourn_local.runtime.loop import LoopThread
from adjourn_local.runtime.servers import ServerOptions, Servers
from adjourn_local.runtime.shutdown import GRACE, finish
from adjourn_local.scheduler.server import SchedulerServer
from adjourn_local.tasks.options import DEFAULTS, TasksOptions
from adjourn_local.tasks.server import TasksServer
from adjourn_local.timing.clock_offset import SIZE
from adjourn_local.timing.clocks import AdjustableClock, ApplicationClock
from adjourn_local.tokens.issuer import TokenIssuer

_PARENT = f"projects/{PROJECT}/locations/{LOCATION}"


class Stack:
    """Runs Cloud Tasks, Cloud Scheduler, Datastore, a token issuer and an application's functions.

    Args:
        spec: The import path of the application, `package.module:app`; None to run the servers
            alone, without functions, declared queues and jobs.
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
        allowed_hosts: Host names in small letters, besides those of loopback, under which requests
            over HTTP are served.
        application: Returns the application, which only the console needs, when it is first opened.

    Attributes:
        hurried: Once it is set, the stack stops without waiting for what is under way.
    """

    def __init__(
        self,
        spec: str | None,
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
        allowed_hosts: Collection[str] = (),
        application: Callable[[], App | None] = lambda: None,
    ) -> None:
        self._options = ServerOptions(
            tasks=tasks, skips_overlapping=skips_overlapping, concurrency=concurrency
        )
        self.clock = AdjustableClock()
        self.sender = sender or FaultInjectingSender(self.clock)
        self.sender.faults = faults
        self._spec = spec
        self._application = application
        self._activity = Activity()
        self._console = MountedApp(self._make_console)
        self._write = write
        self._functions = Functions(
            spec or "", source or Path.cwd(), self._print, staged, allowed_hosts
        )
        self._grace = GRACE if spec else tasks.grace
        self.accounts = Accounts(iam.emails(PROJECT, NAMES)) if enforces_iam else accounts
        self._enforces_iam = enforces_iam
        self.hurried = asyncio.Event()
        self._closing = AsyncExitStack()
        self._revision = uuid.uuid4().hex
        self._state = state
        self._allowed_hosts = allowed_hosts
        self._folder = StateFolder(state)
        self._former = ports.last_used(state)
        self.ports = Ports(*ports.choose(base_port, state))

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as closing:
            folder = closing.enter_context(self._folder)
            # The functions are started first because they take longest.
            loading = await self._load(closing) if self._spec else None
            await self._serve(closing, folder / "adjourn.sqlite3")
            if loading:
                generation = await loading
                self._provide(generation.declared)
                await self._functions.serve(generation)
            await self._dispatch(closing)
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

    @property
    def generation(self) -> Generation:
        """The functions that serve."""
        if self._functions.generation is None:
            raise StackError("The stack has no functions.")
        return self._functions.generation

    async def reload(self) -> Generation:
        """Replace the functions by ones that run the present code; what they run is finished.

        Raises:
            StackError: The code cannot be loaded; the former functions go on.
        """
        functions = self._functions
        generation = await functions.load(self._environments(uuid.uuid4().hex))
        async with self.sender.held():
            self._provide(generation.declared)
            await functions.serve(generation)
        return generation

    async def _load(self, closing: AsyncExitStack) -> asyncio.Task[Generation]:
        """Begin to load the application in the functions."""
        environments = self._environments(self._revision)
        # Report an invalid setting once, not per function.
        Settings.from_env(environments[NAMES[0]])
        clock = self._shared_clock(closing)
        closing.push_async_callback(self._functions.stop)
        await self._functions.open(
            {name: ports.listen(getattr(self.ports, name)) for name in NAMES}, clock
        )
        loading = asyncio.create_task(self._functions.load(environments))
        closing.push_async_callback(_cancelled, loading)
        return loading

    async def _serve(self, closing: AsyncExitStack, path: Path) -> None:
        keep_aside_if_damaged(path)
        closing.push_async_callback(self.sender.close)
        self._servers = servers = Servers(path, self.clock, self.sender, self._options)
        closing.callback(servers.close)
        if self._state:
            if self._former:
                servers.move(self.ports.moved_from(Ports(*self._former)))
            ports.save(self._state, dataclasses.astuple(self.ports))
        control = control_routes(self.sender, self.clock, servers.scheduler.recover)
        routes = [
            *control,
            *servers.http_routes(),
            *self._console.routes("/console"),
            rest.unknown(),
        ]
        await self._serve_http(closing, routes)
        servers.tasks.watch(self._activity.note)
        services = self._grpc_services()
        await serve_grpc(closing, services, f"{ports.HOST}:{self.ports.grpc}")
        if self.accounts:
            await self.accounts.serve(closing, services)

    async def _dispatch(self, closing: AsyncExitStack) -> None:
        """Begin to dispatch; in the end, stop the functions before the servers that they need."""
        tasks, scheduler = self._servers.tasks, self._servers.scheduler
        closing.push_async_callback(self._functions.stop)
        closing.push_async_callback(scheduler.stop)
        closing.push_async_callback(tasks.halt, grace=0)
        closing.push_async_callback(
            finish, self._servers, self._functions, self._grace, self.hurried
        )
        await tasks.start()
        await scheduler.start()

    def _make_console(self) -> ASGIApp:
        from adjourn_local.console.opening import laptop  # noqa: PLC0415 - for who looks at it
        from adjourn_local.console.site import console  # noqa: PLC0415

        app, clock = self._application(), ApplicationClock(self.clock)
        datastore = f"{ports.HOST}:{self.ports.grpc}"
        return console(laptop(self.environment(), app, clock, datastore, self._activity))

    def _print(self, name: str, line: str) -> None:
        self._activity.note_line(line)
        self._write(name, line)

    def _grpc_services(self) -> Sequence[grpc.GenericRpcHandler]:
        return self._servers.grpc_services()

    def _shared_clock(self, closing: AsyncExitStack) -> Path:
        """Return a new file through which the functions follow the stack's clock."""
        folder = closing.enter_context(tempfile.TemporaryDirectory(prefix="adjourn-"))
        path = Path(folder) / "clock"
        path.write_bytes(bytes(SIZE))
        self.clock.share(path)
        return path

    def _provide(self, declared: Declared) -> None:
        """Create the declared queues and jobs, as Terraform does in the cloud."""
        queues = [f"{_PARENT}/queues/{name}" for name in declared.queues]
        for queue in queues:
            self.tasks.ensure_queue(queue)
        if self.accounts and self._enforces_iam:
            self.accounts.policy = Policy(tuple(iam.bindings(iam.laptop(PROJECT, queues))))
        for name in declared.cron_names:
            self.scheduler.ensure_job(
                name=f"{_PARENT}/jobs/{name}",
                schedule="* * * * *",
                time_zone="Etc/UTC",
                uri=f"{self.ports.url('cron')}/{name}",
                service_account=SERVICE_ACCOUNT,
                audience=self.ports.url("cron"),
            )

    async def _serve_http(self, closing: AsyncExitStack, routes: Sequence[web.RouteDef]) -> None:
        served = runner(routes, self._allowed_hosts)
        served.app.on_shutdown.append(self._console.stop)
        await served.setup()
        closing.push_async_callback(served.cleanup)
        await web.TCPSite(served, ports.HOST, self.ports.http).start()

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

    def _environments(self, revision: str) -> Mapping[str, Mapping[str, str]]:
        """Return the variables of each function."""
        stack = {**self.environment(), "ADJOURN_REVISION": revision}
        common = self._functions.environment(stack)
        return {name: {**common, **self._calling_as(name)} for name in NAMES}

    def _calling_as(self, name: str) -> Mapping[str, str]:
        email = iam.laptop(PROJECT, ()).email(name)
        accounts = self.accounts
        return accounts.environment(email) if accounts and email in accounts else {}


async def _cancelled(work: asyncio.Task[Generation]) -> None:
    work.cancel()
    await asyncio.wait({work})


@contextmanager
def running(stack: Stack) -> Iterator[LoopThread]:
    """Run a stack on an event loop in a thread of its own, and yield the loop."""
    with LoopThread() as loop:
        loop.run(stack.__aenter__())
        try:
            yield loop
        finally:
            loop.run(stack.__aexit__(None, None, None))
