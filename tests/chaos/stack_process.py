"""A laptop stack in processes of its own, which can be killed and started again with its state."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import requests

from tests.support import variables_of

ROOT = Path(__file__).resolve().parents[2]
FAULTS = "duplicates=0.1,lost-answers=0.1,errors=0.05,reorder=0.05,seed=7"
FUNCTIONS = ("deferred", "cron", "queryiter")
COMMAND = (
    *(sys.executable, "-m", "adjourn_local", "up", "tests.chaos.storm_application:app"),
    *("--port", "0", "--no-limits", "--faults", FAULTS),
)

_START = 60.0  # seconds, on a machine that does other things as well
_MOMENT = 0.05


class StackProcess:
    """Runs `adjourn up`, and kills it without any warning.

    Args:
        folder: Keeps the state.
        variables: Added to this process's environment variables for the stack and its functions.

    Attributes:
        environment: The variables that point an application to the stack.
        injected: How often each fault was injected into a delivery.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self._variables = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
        self.environment: dict[str, str] = {}
        self.injected: Counter[str] = Counter()
        self._folder = folder
        self.start()

    def start(self) -> None:
        """Start the stack, with the ports and the state that it had before, and wait for it."""
        self._process = subprocess.Popen(
            [*COMMAND, "--state", str(self._folder)],
            cwd=self._folder,  # where no other test finds it
            env=self._variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._is_up = threading.Event()
        self._tail: list[str] = []
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        assert self._is_up.wait(_START), "\n".join(self._tail)

    def kill(self) -> None:
        """Kill stack and functions at the same moment, and wait until their ports are free."""
        workers = [pid for name in FUNCTIONS for pid in self.workers(name)]
        masters = [self._master(name) for name in FUNCTIONS]
        for pid in (self._process.pid, *masters, *workers):
            _send(signal.SIGKILL, pid)
        self._process.wait(_START)
        urls = ("ADJOURN_DEFERRED_URL", "ADJOURN_CRON_URL", "ADJOURN_QUERYITER_URL")
        for name in (*urls, "ADJOURN_KEYS_URL"):
            self._wait_until_free(int(self.environment[name].split(":")[2].split("/")[0]))

    def stop(self) -> None:
        """Stop the stack in order."""
        self._process.terminate()
        self._process.wait(_START)
        self._reader.join(_START)

    def kill_workers(self, function: str) -> None:
        """Kill, as the system might, the processes in which a function runs tasks."""
        for pid in self.workers(function):
            _send(signal.SIGKILL, pid)

    def pause(self, function: str, seconds: float) -> None:
        """Stop the processes of a function for a while; for "" the stack's own process."""
        pids = self.workers(function) if function else [self._process.pid]
        for pid in pids:
            _send(signal.SIGSTOP, pid)
        threading.Event().wait(seconds)
        for pid in pids:
            _send(signal.SIGCONT, pid)

    def set_clock(self, text: str) -> None:
        """Change the clock of the stack and of its functions, as `adjourn clock` does."""
        url = self.environment["ADJOURN_KEYS_URL"].replace("/oauth2/v1/certs", "/control/clock")
        requests.put(url, data=text, timeout=_START).raise_for_status()

    def workers(self, function: str) -> list[int]:
        """Return the processes in which a function runs tasks."""
        return _children(self._master(function))

    def _master(self, function: str) -> int:
        (pid,) = _children(self._process.pid, f"target {function}")
        return pid

    def _read(self, process: "subprocess.Popen[str]") -> None:
        """Read what a stack prints until it ends."""
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self._tail = [*self._tail, line.rstrip()][-50:]
                if " fault_injected " in line:
                    words = line.split(" fault_injected ")[1].partition(": ")[0].split()
                    self.injected.update(word.partition("=")[0] for word in words)
                elif "adjourn is up for " in line:
                    self.environment = variables_of(process.pid, self._folder)
                    self._is_up.set()

    def _wait_until_free(self, port: int) -> None:
        for _ in range(int(_START / _MOMENT)):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)):
                    return
            threading.Event().wait(_MOMENT)
        raise AssertionError(f"port {port} is still in use")


def _children(parent: int, pattern: str = "") -> list[int]:
    command = ["pgrep", "-P", str(parent), *(["-f", pattern] if pattern else [])]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


def _send(number: int, pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
