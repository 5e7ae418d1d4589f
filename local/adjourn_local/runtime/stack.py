"""The laptop stack: starts and stops the servers and the functions."""

import asyncio
import os
import tempfile
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import grpc

from adjourn.settings import Settings
from adjourn_local.damage import checked
from adjourn_local.http import rest
from adjourn_local.http.application import runner
from adjourn_local.http.faults import NO_FAULTS, FaultInjectingSender, Faults
from adjourn_local.http.grpc_server import GrpcServer
from adjourn_local.iam import laptop as iam
from adjourn_local.iam.policy import Policy
from adjourn_local.proxies import direct
from adjourn_local.runtime import ports
from adjourn_local.runtime.accounts import Accounts, serve_grpc
from adjourn_local.runtime.addresses import LOCATION, PROJECT, SERVICE_ACCOUNT, Ports
from adjourn_local.runtime.control import control_routes
from adjourn_local.runtime.debugging import NOT_AT_ALL, Debugging
from adjourn_local.runtime.declarations import Declared
from adjourn_local.runtime.folder import StateFolder
from adjourn_local.runtime.function_process import Print
from adjourn_local.runtime.function_programs import NAMES, Programs, Staged
from adjourn_local.runtime.functions import Functions, Generation
from adjourn_local.runtime.loop import LoopThread
from adjourn_local.runtime.own_server import OwnServer
from adjourn_local.runtime.servers import ServerOptions, Servers
from adjourn_local.runtime.serving import cancelled, serve_http
from adjourn_local.runtime.shutdown import GRACE, finish
from adjourn_local.runtime.stack_console import StackConsole
from adjourn_local.scheduler.server import SchedulerServer
from adjourn_local.tasks.server import TasksServer
from adjourn_local.timing.clocks import AdjustableClock
from adjourn_local.tokens.issuer import TokenIssuer

if TYPE_CHECKING:
    from adjourn import App

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
        servers: How the servers behave.
        write: Called with a function's name and each line that the function prints.
        bind: The address at which the servers listen, such as 0.0.0.0 in a container.
        faults: The faults to inject into deliveries.
        sender: Sends requests to the functions; tests pass one that sends them elsewhere.
        accounts: The accounts whose calls are checked, which tests pass; those of the functions
            and of the application if `enforces_iam`.
        enforces_iam: Let functions and application do only what Terraform grants to their accounts.
        staged: The packaged functions to run, without this environment's packages on their path;
            None for those that are installed.
        allowed_hosts: Host names in small letters, besides those of loopback, under which requests
            over HTTP are served.
        verbose: Whether the functions log also what goes well.
        service: URL below which an own server serves the functions; "" if the stack does.
        debugging: How the functions are debugged: then one request is made after the other, without
            deadlines.
        application: Returns the application, which only the console needs, when it is first opened.

    Attributes:
        functions: The functions; they are not started if no application is given.
        hurried: Once it is set, the stack stops without waiting for what is under way.
    """

    def __init__(
        self,
        spec: str | None,
        *,
        source: Path | None = None,
        state: Path | None = None,
        base_port: int = 0,
        servers: ServerOptions = ServerOptions(),  # noqa: B008 - frozen
        write: Print = lambda _name, _line: None,
        bind: str = ports.HOST,
        faults: Faults = NO_FAULTS,
        sender: FaultInjectingSender | None = None,
        accounts: Accounts | None = None,
        enforces_iam: bool = False,
        staged: Staged | None = None,
        allowed_hosts: Collection[str] = (),
        debugging: Debugging = NOT_AT_ALL,
        verbose: bool = False,
        service: str = "",
        application: "Callable[[], App | None]" = lambda: None,
    ) -> None:
        self._options = replace(servers, is_patient=bool(debugging))
        self.clock = AdjustableClock()
        self.sender = sender or FaultInjectingSender(self.clock)
        self.sender.faults = faults
        self.sender.is_patient = bool(debugging)
        self._spec = spec
        self._bind = bind
        self._state = state
        self._folder = StateFolder(state)
        self._former = ports.last_used(state)
        self.ports = Ports.at(ports.choose(base_port, state), service)
        self._console = StackConsole(self.environment, self.ports, self.clock, application, write)
        programs = Programs(
            spec=spec or "",
            source=source or Path.cwd(),
            staged=staged,
            allowed_hosts=allowed_hosts,
            debugging=debugging,
            verbose=verbose,
        )
        self.functions = (
            OwnServer(programs) if service else Functions(programs, self._console.print)
        )
        self._console.troubles = self.functions.troubles
        self.accounts = Accounts(iam.emails(PROJECT, NAMES)) if enforces_iam else accounts
        self._enforces_iam = enforces_iam
        self.hurried = asyncio.Event()
        self._closing = AsyncExitStack()
        self._revision = uuid.uuid4().hex

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as closing:
            folder = closing.enter_context(self._folder)
            # The functions are started first because they take longest.
            loading = await self._load(closing) if self._spec else None
            await self._serve(closing, folder / "adjourn.sqlite3")
            if loading:
                generation = await loading
                self._provide(generation.declared)
                await self.functions.serve(generation)
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

    async def reload(self) -> Generation:
        """Replace the functions by ones that run the present code; what they run is finished.

        Raises:
            StackError: The code cannot be loaded; the former functions go on.
        """
        generation = await self.functions.load(self._environments(uuid.uuid4().hex))
        async with self.sender.held():
            self._provide(generation.declared)
            await self.functions.serve(generation)
        return generation

    async def _load(self, closing: AsyncExitStack) -> asyncio.Task[Generation]:
        """Begin to load the application in the functions."""
        environments = self._environments(self._revision)
        # Report an invalid setting once, not per function.
        Settings.from_env(environments[NAMES[0]])
        clock = self._shared_clock(closing)
        closing.push_async_callback(self.functions.stop)
        served = () if self.ports.service else NAMES
        await self.functions.open(
            {name: ports.listen(getattr(self.ports, name)) for name in served}, clock
        )
        loading = asyncio.create_task(self.functions.load(environments))
        closing.push_async_callback(cancelled, loading)
        return loading

    async def _serve(self, closing: AsyncExitStack, path: Path) -> None:
        closing.enter_context(checked(path))
        closing.push_async_callback(self.sender.close)
        self._servers = servers = Servers(path, self.clock, self.sender, self._options)
        closing.callback(servers.close)
        if self._state:
            if self._former:
                servers.move(self.ports.moved_from(Ports.at(self._former)))
            ports.save(self._state, self.ports.numbers())
        recover, indexes = servers.scheduler.recover, servers.needed_indexes
        routes = [
            *control_routes(self.sender, self.clock, recover, indexes),
            *servers.http_routes(),
            *self._console.routes(),
            rest.unknown(),
        ]
        served = runner(routes, self.functions.programs.allowed_hosts)
        served.app.on_shutdown.append(self._console.stop)
        services = self._grpc_services()
        grpc_server = GrpcServer(services)
        await serve_http(closing, served, self._bind, self.ports.http, grpc_server)
        servers.tasks.watch(self._console.activity.note)
        await serve_grpc(closing, grpc_server, self._bind, self.ports.grpc)
        if self.accounts:
            await self.accounts.serve(closing, services)

    async def _dispatch(self, closing: AsyncExitStack) -> None:
        """Begin to dispatch; in the end, stop the functions before the servers that they need."""
        tasks, scheduler = self._servers.tasks, self._servers.scheduler
        closing.push_async_callback(self.functions.stop)
        closing.push_async_callback(scheduler.stop)
        closing.push_async_callback(tasks.halt, grace=0)
        grace = GRACE if self._spec else self._options.tasks.grace
        closing.push_async_callback(finish, self._servers, self.functions, grace, self.hurried)
        await tasks.start()
        await scheduler.start()

    def _grpc_services(self) -> Sequence[grpc.GenericRpcHandler]:
        return self._servers.grpc_services()

    def _shared_clock(self, closing: AsyncExitStack) -> Path:
        """Return a new file through which the functions follow the stack's clock."""
        folder = closing.enter_context(tempfile.TemporaryDirectory(prefix="adjourn-"))
        path = Path(folder) / "clock"
        self.clock.share(path)
        return path

    def _provide(self, declared: Declared) -> None:
        """Create the declared queues and jobs, as Terraform does in the cloud."""
        queues = [f"{_PARENT}/queues/{name}" for name in declared.queues]
        for queue in queues:
            self.tasks.ensure_queue(queue)
        if self.accounts and self._enforces_iam:
            self.accounts.policy = Policy(tuple(iam.bindings(iam.laptop(PROJECT, queues))))
        settings = Settings.from_env(self.environment())
        for name in declared.cron_names:
            self.scheduler.ensure_job(
                name=f"{_PARENT}/jobs/{name}",
                schedule="* * * * *",
                time_zone="Etc/UTC",
                uri=f"{settings.cron_url}/{name}",
                service_account=SERVICE_ACCOUNT,
                audience=settings.audience_of(settings.cron_url),
            )

    def environment(self) -> Mapping[str, str]:
        """Return the variables that point an application to this stack.

        Each start has a revision of its own. Where IAM is enforced, the application calls as its
        own account.
        """
        return {
            **direct(os.environ),
            "ADJOURN_REVISION": self._revision,
            **self.ports.environment(),
            **self._calling_as(iam.APPLICATION),
        }

    def _environments(self, revision: str) -> Mapping[str, Mapping[str, str]]:
        """Return the variables of each function."""
        stack = {**self.environment(), "ADJOURN_REVISION": revision}
        common = self.functions.programs.environment(stack)
        return {name: {**common, **self._calling_as(name)} for name in NAMES}

    def _calling_as(self, name: str) -> Mapping[str, str]:
        email = iam.laptop(PROJECT, ()).email(name)
        accounts = self.accounts
        return accounts.environment(email) if accounts and email in accounts else {}


@contextmanager
def running(stack: Stack) -> Iterator[LoopThread]:
    """Run a stack on an event loop in a thread of its own, and yield the loop."""
    with LoopThread() as loop:
        loop.run(stack.__aenter__())
        try:
            yield loop
        finally:
            loop.run(stack.__aexit__(None, None, None))
