"""The command `adjourn up`: run the laptop stack."""

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from adjourn import AdjournError
from adjourn_local.commands import Add
from adjourn_local.commands.application import import_app, locate
from adjourn_local.commands.env import check_file, variables_file
from adjourn_local.commands.up_options import add_options
from adjourn_local.datastore import Concurrency
from adjourn_local.errors import UsageError
from adjourn_local.packaging.declared_indexes import declared
from adjourn_local.runtime import ports
from adjourn_local.runtime.addresses import PROJECT
from adjourn_local.runtime.debugging import Debugging
from adjourn_local.runtime.function_programs import NAMES
from adjourn_local.runtime.garbage import search_rarely
from adjourn_local.runtime.log_display import LogDisplay, has_colours
from adjourn_local.runtime.open_files import allow_many
from adjourn_local.runtime.reload import reload_on_changes
from adjourn_local.runtime.running_stack import RunningStack, announced
from adjourn_local.runtime.servers import ServerOptions
from adjourn_local.runtime.source_watch import SourceWatch, source_folders
from adjourn_local.runtime.stack import Stack
from adjourn_local.runtime.stack_log import StackLog
from adjourn_local.runtime.variables import variables
from adjourn_local.tasks import TasksOptions

if TYPE_CHECKING:
    from adjourn import App

INTERRUPTED = 130  # as a shell reports after Ctrl-C

_log = logging.getLogger(__name__)


def add(add: Add) -> None:
    """Declare the command and its options."""
    up = add("up", help="run the whole stack for an application until Ctrl-C")
    up.set_defaults(run=run, bind=ports.HOST)
    add_options(up)


def run(options: argparse.Namespace) -> int:
    """Run the stack until it is stopped, and return the exit status.

    Raises:
        UsageError: An option does not fit.
        StackError: The stack cannot start.
    """
    if options.debug and not sys.stdin.isatty():
        raise UsageError("--debug needs a terminal; editors need --debugpy PORT.")
    log = _log_of_stack(options)
    options.app, source = locate(options.app, Path()) if options.app else ("", Path())
    if options.env_file is not None:
        check_file(options.env_file)
    allow_many()
    stack = Stack(
        options.app or None,
        source=source,
        state=None if options.memory else options.state,
        base_port=options.port,
        servers=_servers(options),
        bind=options.bind,
        faults=options.faults,
        enforces_iam=options.enforce_iam,
        allowed_hosts=options.allow_host,
        write=log.write,
        debugging=Debugging(in_terminal=options.debug, port=options.debugpy),
        application=lambda: _application(options.app, source, stack) if options.app else None,
        verbose=options.verbose,
        service=options.serve or "",
    )
    log.functions = [stack.ports.url(name) for name in NAMES]
    if not options.memory:
        log.keep_in(options.state)
    return asyncio.run(_up(stack, source, options))


def _servers(options: argparse.Namespace) -> ServerOptions:
    required = options.require_indexes
    return ServerOptions(
        tasks=TasksOptions(
            limits=not options.no_limits,
            throttles=options.throttle,
            creates_queues=options.create_queues,
            app_engine=dict(options.app_engine),
            tombstone=options.tombstone,
            firebase_functions=options.firebase_functions,
        ),
        skips_overlapping=options.skip_overlapping,
        concurrency=Concurrency(options.concurrency_mode),
        declared_indexes=None if required is None else declared(required),
    )


def _log_of_stack(options: argparse.Namespace) -> StackLog:
    """Return the log, which shows what this process and the functions log from now on."""
    log = StackLog(LogDisplay(_say, colours=has_colours(sys.stdout), verbose=options.verbose))
    logging.basicConfig(handlers=[log], level=logging.INFO)
    if options.verbose:
        logging.getLogger("adjourn_local").setLevel(logging.DEBUG)
    return log


def _say(text: str) -> None:
    with suppress(BrokenPipeError):  # whoever read this has gone; the stack goes on
        print(
            text.encode(sys.stdout.encoding, "backslashreplace").decode(sys.stdout.encoding),
            flush=True,
        )


def _application(spec: str, source: Path, stack: Stack) -> "App | None":
    """Import the application into this process; return None if it cannot be imported now."""
    try:
        with variables(stack.environment()):
            return import_app(spec, source)
    except (AdjournError, UsageError) as error:
        _log.warning("The console does not know the application: %s", error)
        return None


async def _up(stack: Stack, source: Path, options: argparse.Namespace) -> int:
    stopped = asyncio.Event()

    def stop() -> None:
        if stopped.is_set():
            stack.hurried.set()
        stopped.set()

    def interrupt() -> None:
        if stopped.is_set() or not stack.functions.interrupt_debugger():
            stop()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, interrupt)
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    reloads = sys.stdin.isatty() if options.reload is None else options.reload
    watch = SourceWatch(source_folders(source)) if reloads else None
    if not await _started(stack, watch, stopped):
        return INTERRUPTED
    search_rarely()
    closing = ExitStack()
    closing.enter_context(_told(stack, source, options))
    print(_greeting(stack, options), flush=True)
    reloading = asyncio.create_task(reload_on_changes(stack, watch)) if watch else None
    await stopped.wait()
    print("Stopping ...", flush=True)
    closing.close()
    if watch and reloading:
        watch.stop()
        reloading.cancel()
        await asyncio.wait({reloading})
    await stack.__aexit__(None, None, None)
    return INTERRUPTED if stack.hurried.is_set() else 0


@contextmanager
def _told(stack: Stack, source: Path, options: argparse.Namespace) -> Iterator[None]:
    """Let commands find the stack, and write the file that `--env-file` names."""
    environment = stack.environment()
    state = None if options.memory else options.state
    running = RunningStack.here(options.app, source, stack.ports.numbers(), environment, state)
    with ExitStack() as closing:
        try:
            closing.enter_context(announced(running))
        except OSError as error:
            _log.warning("Commands will not find this stack: %s.", error)
        if options.env_file is not None:
            closing.enter_context(variables_file(options.env_file, environment))
        yield


async def _started(stack: Stack, watch: SourceWatch | None, stopped: asyncio.Event) -> bool:
    """Start the stack; return whether it was not stopped before it had started."""
    starting = asyncio.create_task(_start(stack, watch))
    stopping = asyncio.create_task(stopped.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
    stopping.cancel()
    with suppress(asyncio.CancelledError):
        await starting
        return True
    return False


async def _start(stack: Stack, watch: SourceWatch | None) -> None:
    if watch:
        # Before the code is loaded, so that no change is missed.
        try:
            await asyncio.to_thread(watch.start)
        except OSError as error:
            _log.warning("Changes of the code are not noticed: %s.", error)
    await stack.__aenter__()


def _greeting(stack: Stack, options: argparse.Namespace) -> str:
    at = stack.ports
    state = "none" if options.memory else options.state
    functions = NAMES if options.app else ()
    lines = [
        f"adjourn is up for {options.app or 'any client'} (project {PROJECT}), Ctrl-C stops it.",
        f"  console, in the browser                         {at.url('http')}/console",
        f"  Cloud Tasks, Cloud Scheduler, Datastore (gRPC)  {options.bind}:{at.grpc}",
        f"  the same over HTTP, keys of the token issuer    {at.url('http')}",
        *(f"  function {name:<39}{at.url(name)}" for name in functions),
        f"  state                                           {state}",
        f"  faults                                          {options.faults or 'none'}",
        f"  IAM                                             {_iam(stack)}",
        "In another terminal, in this folder:",
        "  adjourn exec -- COMMAND                         runs a program that finds this stack",
        "  adjourn env                                     prints the variables that lead to it",
    ]
    return "\n".join(lines)


def _iam(stack: Stack) -> str:
    return "enforced, but for these ports" if stack.accounts else "not enforced"
