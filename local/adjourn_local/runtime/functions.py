"""The three functions as processes of their own, under functions-framework as they are deployed."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from adjourn_local.errors import StackError

NAMES = ("deferred", "cron", "queryiter")

# Those of the checkout, or the copies that `local/setup.py` puts into an installed package.
FOLDER = Path(__file__).resolve().parents[3] / "functions"
_COPIES = Path(__file__).parents[1] / "deployed"
_START_TIMEOUT = 30.0
# Cloud Run kills an instance 10 s after it was told to stop
# (https://cloud.google.com/run/docs/container-contract).
_STOP_TIMEOUT = 10.0
_LONGEST_LINE = 1 << 20
_KEPT_LINES = 30

Print = Callable[[str, str], None]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Staged:
    """The functions as `adjourn package` has put them together.

    Attributes:
        folder: Holds a folder for each function.
        programs: Folder of the programs of an environment that has the functions' requirements.
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
        write: Takes each line that a function prints, after the function's name.
        staged: What to start; the checkout's functions, in this process's environment, if None.
    """

    def __init__(self, write: Print, staged: Staged | None) -> None:
        self._write = write
        self._staged = staged
        self._running: list[_Function] = []
        self._are_wanted = False
        self._keeper: asyncio.subprocess.Process | None = None

    async def start(
        self, ports: Mapping[str, int], environment: Mapping[str, str], clock: Path
    ) -> None:
        """Start all functions; they import the application at once and answer a little later.

        Args:
            ports: Where each listens.
            environment: Their variables.
            clock: The file from which those of the checkout learn the stack's time.
        """
        # -I -S: nothing of the user's is imported, so it starts at once.
        self._keeper = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(Path(__file__).with_name("keeper.py"))),
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        for name in NAMES:
            self._running.append(await self._spawn(name, ports[name], environment, clock))

    async def ready(self) -> None:
        """Wait until every function accepts connections.

        Raises:
            StackError: One ended, or took too long; the message has its last words.
        """
        await asyncio.gather(*(self._ready(function) for function in self._running))
        self._are_wanted = True

    async def stop(self) -> None:
        """Tell the functions to finish what they are doing and wait for their end; then nothing."""
        self._are_wanted = False
        await asyncio.gather(*(self._stop(function) for function in self._running))
        self._running.clear()
        if self._keeper and self._keeper.stdin:
            self._keeper.stdin.close()
            await self._keeper.wait()

    async def _spawn(
        self, name: str, port: int, environment: Mapping[str, str], clock: Path
    ) -> _Function:
        # Where gunicorn puts its control socket, else in one place for all of them.
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
            start_new_session=True,  # Ctrl-C is for the stack, which then stops them in order
        )
        self._tell_keeper(process.pid)
        tail: list[str] = []
        reader = asyncio.create_task(self._read(name, process, tail))
        return _Function(name, port, process, tail, reader)

    def _command(self, name: str, clock: Path) -> tuple[str, ...]:
        if self._staged:
            return str(self._staged.programs / "functions-framework"), "--source", "main.py"
        source = str((FOLDER if FOLDER.is_dir() else _COPIES) / name / "main.py")
        return (
            sys.executable,
            "-m",
            "adjourn_local.runtime.follower",
            str(clock),
            "--source",
            source,
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
                "The function %s has ended by itself (status %d); its tasks fail until the stack"
                " is started again.",
                *(name, status),
            )

    async def _ready(self, function: _Function) -> None:
        try:
            async with asyncio.timeout(_START_TIMEOUT):
                while not await _answers(function.port):
                    if function.process.returncode is not None:
                        await function.reader
                        said = "\n".join(function.tail)
                        raise StackError(f"The function {function.name} did not start:\n{said}")
                    await asyncio.sleep(0.02)
        except TimeoutError:
            said = f"did not answer for {_START_TIMEOUT:.0f} s"
            raise StackError(f"The function {function.name} {said}.") from None

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


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
