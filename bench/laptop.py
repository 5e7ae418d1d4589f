"""`adjourn up` as a process of its own, for measurements of the whole stack."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from adjourn.settings import Settings
from adjourn_local.runtime.running_stack import find

APP = """
import os, socket
import adjourn

app = adjourn.App()
ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


@app.deferred
def tell(number: int) -> None:
    ear.sendto(b"done", os.environ["BENCH_EAR"])
"""


@dataclass(frozen=True, kw_only=True)
class Laptop:
    """A running stack whose application has one task, `bench_app.tell(number)`.

    Attributes:
        variables: What leads an application to the stack.
        ear: Receives a datagram for each execution.
        process: Process id of the stack.
    """

    variables: Mapping[str, str]
    ear: socket.socket
    process: int

    @property
    def settings(self) -> Settings:
        """The settings in the variables."""
        return Settings.from_env(self.variables)

    def hear(self, times: int) -> None:
        """Wait for so many executions.

        Raises:
            TimeoutError: None came for a minute.
        """
        for _ in range(times):
            self.ear.recv(16)


def tell(number: int) -> None:
    """Stand in for the task of the same name that the functions have."""


@contextmanager
def laptop(*options: str, more: str = "") -> Iterator[Laptop]:
    """Start the stack on free ports, and stop it in the end.

    Args:
        options: Options of `adjourn up`.
        more: What the application declares besides, as code.
    """
    with (
        tempfile.TemporaryDirectory() as name,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear,
    ):
        folder = Path(name)
        (folder / "bench_app.py").write_text(APP + more)
        ear.bind(str(folder / "ear"))
        ear.settimeout(60)
        process = subprocess.Popen(
            [sys.executable, "-m", "adjourn_local", "up", "bench_app:app", "--port", "0", *options],
            cwd=folder,
            env={**os.environ, "BENCH_EAR": str(folder / "ear")},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            variables = _variables(process, folder)
            threading.Thread(target=_drain, args=(process,), daemon=True).start()
            yield Laptop(variables=variables, ear=ear, process=process.pid)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=30)


def _drain(process: subprocess.Popen[str]) -> None:
    """Read what the stack prints: it would wait for a reader."""
    for line in process.stdout or ():
        if "BENCH_LOG" in os.environ:
            print(line, end="", file=sys.stderr)


def _variables(process: subprocess.Popen[str], folder: Path) -> Mapping[str, str]:
    for line in process.stdout or ():
        if line.startswith("adjourn is up "):
            (stack,) = find(folder)
            return stack.environment
    raise SystemExit("adjourn up did not start")
