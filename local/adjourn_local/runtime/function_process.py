"""The process of one function: gunicorn's master, which loads the application, and its workers."""

import asyncio
import json
import os
import signal
import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self, cast

from adjourn_local.errors import StackError
from adjourn_local.runtime.declarations import Declared

_LOAD_TIMEOUT = 60.0
_SILENCE = 1.0
_KEPT_LINES = 30
# What a line has beyond this is left out, so that no line can fill the memory.
_LONGEST_LINE = 1 << 20

Print = Callable[[str, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """How to start a function's process.

    Attributes:
        name: The function's name.
        command: The program; the file descriptors of `activation.run` are put in for `{listener}`
            and `{channel}`.
        environment: The environment variables.
        folder: The working directory; None for this process's.
        listener: The listening socket that the function takes over.
        has_terminal: Whether its standard input is this process's.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path | None
    listener: socket.socket
    has_terminal: bool


class FunctionProcess(asyncio.SubprocessProtocol):
    """A running function.

    Attributes:
        name: The function's name.
        group: The process group of the master and its workers.
        exit: The exit status of the master, negative for a signal, once it has ended.
    """

    def __init__(self, name: str, write: Print, channel: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self.name = name
        self._channel = channel
        self.exit: asyncio.Future[int] = loop.create_future()
        self._is_silent: asyncio.Future[None] = loop.create_future()
        self._write = write
        self._tail: deque[str] = deque(maxlen=_KEPT_LINES)
        self._begun = b""

    @classmethod
    async def start(cls, program: Program, write: Print) -> Self:
        """Start a function; it loads the application and waits for `release`.

        Args:
            program: How to start it.
            write: Called with the function's name and each line that it prints.
        """
        own, its = socket.socketpair()
        own.setblocking(False)  # noqa: FBT003 - the standard library's
        fds = {"{listener}": program.listener.fileno(), "{channel}": its.fileno()}
        loop = asyncio.get_running_loop()
        with its:
            _, function = await loop.subprocess_exec(
                lambda: cls(program.name, write, own),
                *(str(fds.get(word, word)) for word in program.command),
                cwd=program.folder,
                env=program.environment,
                stdin=None if program.has_terminal else asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.STDOUT,
                pass_fds=list(fds.values()),
                # Ctrl-C must reach the stack only, which then stops the functions in order.
                start_new_session=True,
            )
        return function

    async def loaded(self) -> Declared:
        """Wait until the application is loaded; return what it declares.

        Raises:
            StackError: It could not be loaded, or took too long; the message says why.
        """
        try:
            async with asyncio.timeout(_LOAD_TIMEOUT):
                report = await self._report()
        except TimeoutError:
            raise StackError(
                f"The function {self.name} did not load the application within"
                f" {_LOAD_TIMEOUT:.0f} s."
            ) from None
        if report is None:
            output = "\n".join(self._tail)
            raise StackError(f"The function {self.name} did not start:\n{output}")
        if "error" in report:
            raise StackError(report["error"])
        return Declared.read(report)

    async def _report(self) -> Mapping[str, str] | None:
        loop, text = asyncio.get_running_loop(), b""
        while not text.endswith(b"\n"):
            piece = await loop.sock_recv(self._channel, 1 << 16)
            if not piece:
                await self.ended()
                return None
            text += piece
        report: Mapping[str, str] = json.loads(text)
        return report

    def release(self) -> None:
        """Let the function serve requests."""
        self._channel.close()

    def terminate(self) -> None:
        """Have the function finish its requests and end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the function at once."""
        self._signal(signal.SIGKILL)

    async def ended(self) -> int:
        """Wait until the function has ended and what it printed is written; return its status."""
        status = await asyncio.shield(self.exit)
        # What the application has started may go on, with the function's output as its own.
        await asyncio.wait({self._is_silent}, timeout=_SILENCE)
        self._transport.close()
        self._channel.close()
        return status

    async def gone(self) -> None:
        """Wait until the function, its workers and whatever they have started have ended."""
        await asyncio.shield(self.exit)
        await asyncio.shield(self._is_silent)
        self._transport.close()
        self._channel.close()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.group, number)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the process, which leads a group of its own."""
        self._transport = cast(asyncio.SubprocessTransport, transport)
        self.group = self._transport.get_pid()

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # noqa: ARG002 - the protocol
        """Write the whole lines, and keep the rest until its end is there."""
        *lines, begun = (self._begun + data).split(b"\n")
        for line in lines:
            self._write_line(line)
        self._begun = begun[:_LONGEST_LINE]

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002
        """Write a last line without an end."""
        if self._begun:
            self._write_line(self._begun)
        self._begun = b""
        if not self._is_silent.done():
            self._is_silent.set_result(None)

    def process_exited(self) -> None:
        """Note that the master has ended; its workers may still print."""
        if not self.exit.done():
            self.exit.set_result(self._transport.get_returncode() or 0)

    def _write_line(self, line: bytes) -> None:
        text = line[:_LONGEST_LINE].decode(errors="replace").rstrip()
        self._tail.append(text)
        self._write(self.name, text)
