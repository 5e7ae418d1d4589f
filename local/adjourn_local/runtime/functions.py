"""Run the three functions under functions-framework, as they are deployed; keep them running."""

import asyncio
import datetime as dt
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from adjourn_local.errors import StackError
from adjourn_local.runtime import keeper
from adjourn_local.runtime.debugging import session_file
from adjourn_local.runtime.declarations import Declared
from adjourn_local.runtime.function_process import FunctionProcess, Print
from adjourn_local.runtime.function_programs import NAMES, Programs

# Pauses before a function that keeps ending is started again, in seconds. One that has run for
# longer than the last of them has not kept ending.
_PAUSES = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
# How long replaced functions may take to end before the new ones begin. They stop accepting
# requests much sooner.
_HANDOVER = 0.5
_WAKE_UPS = (0.1, 1.0)
# What the functions log about a task that the code does not have.
_UNKNOWN = '"event": "task.unknown"'

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Generation:
    """The functions that run the same code.

    Attributes:
        loaded_at: When they began to load it.
        environments: The environment variables of each function.
        running: The process of each function.
        declared: What the application declares.
        supervisors: Start a function again that has ended, once they serve.
    """

    loaded_at: dt.datetime
    environments: Mapping[str, Mapping[str, str]]
    running: dict[str, FunctionProcess]
    declared: Declared
    supervisors: list[asyncio.Task[None]] = field(default_factory=list)

    def retire(self) -> None:
        """Have the functions finish their requests and end."""
        for supervisor in self.supervisors:
            supervisor.cancel()
        for function in self.running.values():
            function.terminate()


class Functions:
    """Starts, replaces, restarts and stops the functions.

    Args:
        programs: How each is started.
        write: Called with a function's name and each line that the function prints.

    Attributes:
        generation: The functions that serve; None before the first.
        outdated: Why their code is not the one that is wanted; "" if it is, as far as is known.
    """

    def __init__(self, programs: Programs, write: Print) -> None:
        self.programs = programs
        self._write = write
        self._started: dict[FunctionProcess, asyncio.Task[None]] = {}
        self._sockets: Mapping[str, socket.socket] = {}
        self._keeper: asyncio.subprocess.Process | None = None
        self.generation: Generation | None = None
        self.outdated = ""

    async def open(self, sockets: Mapping[str, socket.socket], clock: Path) -> None:
        """Prepare to start functions.

        Args:
            sockets: The listening socket of each function.
            clock: The file through which functions of the checkout follow the stack's clock; it is
                in a folder of its own.
        """
        self._sockets = sockets
        self._clock = clock
        # -I -S: without site packages the process starts fast.
        self._keeper = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", keeper.__file__),
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
        )

    async def load(self, environments: Mapping[str, Mapping[str, str]]) -> Generation:
        """Start functions that load the application and wait until they are to serve.

        Args:
            environments: The environment variables of each function.

        Raises:
            StackError: The application cannot be loaded; the message says why.
        """
        generation = Generation(dt.datetime.now().astimezone(), environments, {}, Declared())
        try:
            for name in NAMES:
                generation.running[name] = await self._start(name, environments[name])
            async with asyncio.TaskGroup() as group:
                loading = [
                    group.create_task(function.loaded()) for function in generation.running.values()
                ]
        except BaseException as error:
            for function in generation.running.values():
                function.kill()
            if isinstance(error, ExceptionGroup):
                raise error.exceptions[0] from None
            raise
        generation.declared = loading[0].result()
        return generation

    async def serve(self, generation: Generation) -> None:
        """Let a loaded generation serve, in the place of the present one.

        Requests under way are finished by the functions that have begun them.
        """
        if self.generation:
            self.generation.retire()
            before = [each.exit for each in self.generation.running.values()]
            await asyncio.wait(before, timeout=_HANDOVER)
        self.generation = generation
        self.outdated = ""
        for name, function in generation.running.items():
            function.release()
            supervisor = asyncio.create_task(self._supervise(generation, name))
            generation.supervisors.append(supervisor)

    def troubles(self) -> list[str]:
        """Return what keeps tasks from being run by the present code, in sentences."""
        generation = self.generation
        if generation is None:
            return []
        ended = [name for name, each in generation.running.items() if each.exit.done()]
        found = [f"The function {name} is down; it is started again." for name in ended]
        if self.outdated:
            found.append(f"The functions run code from {_hour(generation)}: {self.outdated}")
        return found

    def interrupt_debugger(self) -> bool:
        """Pass Ctrl-C on to the function that has a debugger; return whether there is one."""
        if not self._sockets:  # none has been started
            return False
        try:
            process = int(session_file(self._clock).read_text())
            os.kill(process, signal.SIGINT)
        except (OSError, ValueError):
            return False
        # readline does not notice a signal that comes just before it waits for a key; this one,
        # which it takes for a change of the terminal's size, wakes it up; on a busy machine the
        # first one may come too early as well.
        for seconds in _WAKE_UPS:
            asyncio.get_running_loop().call_later(seconds, _signal, process, signal.SIGWINCH)
        return True

    def terminate(self) -> None:
        """Have all functions finish their requests and end; refuse what waits in the sockets."""
        if self.generation:
            self.generation.retire()
        for function in self._started:
            function.terminate()
        for listener in self._sockets.values():
            listener.close()

    async def stop(self) -> None:
        """End all functions at once."""
        self.terminate()
        for function in self._started:
            function.kill()
        await asyncio.gather(*(function.ended() for function in self._started))
        for watch in self._started.values():
            watch.cancel()
        if self._keeper and self._keeper.stdin:
            self._keeper.stdin.close()
            await self._keeper.wait()

    async def _start(self, name: str, environment: Mapping[str, str]) -> FunctionProcess:
        program = self.programs.program(name, environment, self._sockets[name], self._clock)
        function = await FunctionProcess.start(program, self._print)
        self._tell_keeper(function.group)
        self._started[function] = asyncio.create_task(self._forget_ended(function))
        return function

    def _print(self, name: str, line: str) -> None:
        self._write(name, line)
        if _UNKNOWN in line and self.generation:
            self.outdated = "a task came that it does not have."
            _log.warning("The stack runs code from %s.", _hour(self.generation))

    async def _supervise(self, generation: Generation, name: str) -> None:
        """Start a function again whenever it ends; with growing pauses if it keeps ending."""
        loop, ends = asyncio.get_running_loop(), 0
        while True:
            began = loop.time()
            status = await asyncio.shield(generation.running[name].exit)
            generation.running[name].terminate()  # the workers, which have lost their master
            ends = 1 if loop.time() - began > _PAUSES[-1] else ends + 1
            how = _how(status)
            while not await self._restart(generation, name, how, ends):
                ends, how = ends + 1, "did not start"

    async def _restart(self, generation: Generation, name: str, how: str, ends: int) -> bool:
        """Start a function again after a pause; return whether it serves."""
        pause = _PAUSES[min(ends, len(_PAUSES)) - 1]
        when = f"in {pause:.0f} s" if pause else "now"
        _log.error("The function %s %s; it is started again %s.", name, how, when)
        await asyncio.sleep(pause)
        try:
            function = await self._start(name, generation.environments[name])
            try:
                await function.loaded()
            except BaseException:
                function.kill()
                raise
        except (StackError, OSError) as error:
            _log.error("%s", error)
            return False
        generation.running[name] = function
        function.release()
        return True

    async def _forget_ended(self, function: FunctionProcess) -> None:
        await function.gone()
        self._tell_keeper(-function.group)
        del self._started[function]

    def _tell_keeper(self, group: int) -> None:
        if self._keeper and self._keeper.stdin:
            self._keeper.stdin.write(f"{group}\n".encode())


def _signal(process: int, number: signal.Signals) -> None:
    with suppress(OSError):
        os.kill(process, number)


def _hour(generation: Generation) -> str:
    return generation.loaded_at.strftime("%H:%M")


def _how(status: int) -> str:
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended ({status})"
