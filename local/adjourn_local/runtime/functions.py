"""Run the three functions as child processes under functions-framework, as they are deployed."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from adjourn_local.deployed import main_file
from adjourn_local.errors import StackError

NAMES = ("deferred", "cron", "queryiter")

_START_TIMEOUT = 30.0
# Cloud Run kills an instance 10 s after SIGTERM
# (https://cloud.google.com/run/docs/container-contract).
_STOP_TIMEOUT = 10.0
_LONGEST_LINE = 1 << 20
_KEPT_LINES = 30

Print = Callable[[str, str], None]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Staged:
    """The functions as `adjourn package` has staged them.

    Attributes:
        folder: Holds one folder for each function.
        programs: The `bin` folder of a virtual environment with the functions' requirements.
    """

    folder: Path
    programs: Path


@dataclass(slots=True)
class _Function:
    name: str
    port: int
    process: asyncio.subprocess.Process
    tail: list[str]
    reader: asyncio.Task[None]


class Functions:
    """Starts, watches and stops the functions.

    Args:
        spec: The import path of the application, `package.module:app`.
        source: The folder from which it is imported.
        write: Called with a function's name and each line that the function prints.
        staged: The staged functions to start; None for those that are installed.
    """

    def __init__(self, spec: str, source: Path, write: Print, staged: Staged | None) -> None:
        self._spec = spec
        self._source = source.resolve()
        self._write = write
        self._staged = staged
        self._running: list[_Function] = []
        self._are_wanted = False
        self._keeper: asyncio.subprocess.Process | None = None

    def environment(self, stack: Mapping[str, str]) -> Mapping[str, str]:
        """Return a function's environment: this process's, the application and the stack's."""
        paths = [str(self._source), os.environ.get("PYTHONPATH", "")]
        return {
            **os.environ,
            **stack,
            "ADJOURN_APP": self._spec,
            "PYTHONPATH": "" if self._staged else os.pathsep.join(filter(None, paths)),
        }

    async def start(
        self,
        ports: Mapping[str, int],
        environments: Mapping[str, Mapping[str, str]],
        clock: Path,
    ) -> None:
        """Start all functions; `ready` waits until they accept connections.

        Args:
            ports: The port of each function.
            environments: The environment variables of each function.
            clock: The file through which the functions follow the stack's clock.
        """
        # -I -S: without site packages the process starts fast.
        self._keeper = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(Path(__file__).with_name("keeper.py"))),
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        for name in NAMES:
            self._running.append(await self._spawn(name, ports[name], environments[name], clock))

    async def ready(self) -> None:
        """Wait until every function accepts connections.

        Raises:
            StackError: A function ended or took too long; the message has its last output.
        """
        await asyncio.gather(*(self._ready(function) for function in self._running))
        self._are_wanted = True

    async def stop(self) -> None:
        """Ask the functions to finish their requests and stop; wait until they have ended."""
        self._are_wanted = False
        await asyncio.gather(*(self._stop(function) for function in self._running))
        self._running.clear()
        if self._keeper and self._keeper.stdin:
            self._keeper.stdin.close()
            await self._keeper.wait()

    async def _spawn(
        self, name: str, port: int, environment: Mapping[str, str], clock: Path
    ) -> _Function:
        # gunicorn puts its control socket here; by default all functions would share one.
        runtime = clock.with_name(name)
        runtime.mkdir()
        process = await asyncio.create_subprocess_exec(
            *self._command(name, clock),
            *("--target", name, "--host", "127.0.0.1", "--port", str(port)),
            cwd=self._staged.folder / name if self._staged else None,
            env={**environment, "PYTHONUNBUFFERED": "1", "XDG_RUNTIME_DIR": str(runtime)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=_LONGEST_LINE,
            # Ctrl-C must reach the stack only, which then stops the functions in order.
            start_new_session=True,
        )
        self._tell_keeper(process.pid)
        tail: list[str] = []
        reader = asyncio.create_task(self._read(name, process, tail))
        return _Function(name, port, process, tail, reader)

    def _command(self, name: str, clock: Path) -> tuple[str, ...]:
        if self._staged:
            return str(self._staged.programs / "functions-framework"), "--source", "main.py"
        return (
            sys.executable,
            "-m",
            "adjourn_local.runtime.follower",
            str(clock),
            "--source",
            str(main_file(name)),
        )

    async def _read(self, name: str, process: asyncio.subprocess.Process, tail: list[str]) -> None:
        if process.stdout is None:
            return
        while line := await process.stdout.readline():
            text = line.decode(errors="replace").rstrip()
            tail[:] = [*tail, text][-_KEPT_LINES:]
            self._write(name, text)
        status = await process.wait()
        if self._are_wanted:
            _log.error(
                "The function %s has ended unexpectedly (status %d); its tasks fail until the"
                " stack is restarted.",
                *(name, status),
            )

    async def _ready(self, function: _Function) -> None:
        try:
            async with asyncio.timeout(_START_TIMEOUT):
                while not await _accepts_connections(function.port):
                    if function.process.returncode is not None:
                        await function.reader
                        output = "\n".join(function.tail)
                        raise StackError(f"The function {function.name} did not start:\n{output}")
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise StackError(
                f"The function {function.name} did not accept connections within"
                f" {_START_TIMEOUT:.0f} s."
            ) from None

    async def _stop(self, function: _Function) -> None:
        group = function.process.pid
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGTERM)
        try:
            await asyncio.wait_for(function.process.wait(), _STOP_TIMEOUT)
        except TimeoutError:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
            await function.process.wait()
        await function.reader
        self._tell_keeper(-group)

    def _tell_keeper(self, group: int) -> None:
        if self._keeper and self._keeper.stdin:
            self._keeper.stdin.write(f"{group}\n".encode())


async def _accepts_connections(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
