"""A stack whose deliveries go wrong in every way, and an ear for what it tells."""

import datetime as dt
import os
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from google.cloud import datastore

from adjourn_local.http.faults import Faults
from adjourn_local.runtime.loop import LoopThread
from adjourn_local.runtime.stack import Stack

needs_pgrep = pytest.mark.skipif(
    not shutil.which("pgrep"), reason="needs pgrep to find the workers"
)
FAULTS = Faults(duplicates=0.1, lost_answers=0.1, errors=0.05, reorder=0.05, seed=7)
PATIENCE = 0.05  # seconds


class Ear:
    """Counts what the functions tell: the numbers of calls, and slots, which come by themselves.

    Attributes:
        batches: What children of batches and the ends of batches told, in order.
        flows: When limited calls began and ended: the time, what happened, process, key, number.
        begun: When the first call of each key began.
        ended: The numbers of the calls that have ended, or that tell one time alone, by key.
    """

    def __init__(self, path: Path) -> None:
        self.told: Counter[int] = Counter()
        self.slots: Counter[dt.datetime] = Counter()
        self.flows: list[tuple[Any, ...]] = []
        self.begun: dict[str, float] = {}
        self.ended: dict[str, set[int]] = defaultdict(set)
        self.batches: list[list[str]] = []
        self.path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(PATIENCE)

    def listen(self) -> bool:
        """Take in one thing more; False if none came for a moment."""
        try:
            what = self._socket.recv(128).decode()
        except TimeoutError:
            return False
        if what.startswith("flow "):
            self._note_flow(time.monotonic(), *what.split()[1:])
        elif what.startswith("batch "):
            self.batches.append(what.split()[1:])
        elif what.startswith("slot "):
            self.slots[dt.datetime.fromisoformat(what.removeprefix("slot "))] += 1
        else:
            self.told[int(what)] += 1
        return True

    def _note_flow(self, at: float, what: str, process: str, key: str, number: str) -> None:
        self.flows.append((at, what, process, key, number))
        self.begun.setdefault(key, at)
        if what != "begin":
            self.ended[key].add(int(number))

    def forget(self) -> None:
        """Begin to count anew."""
        self.told.clear()
        self.slots.clear()
        self.flows.clear()
        self.begun.clear()
        self.ended.clear()
        self.batches.clear()

    def close(self) -> None:
        self._socket.close()


def listen_until(
    ear: Ear, is_enough: Callable[[], bool], left: Callable[[], str] = lambda: ""
) -> None:
    """Listen until a condition holds; fail after a minute in which nothing was told.

    Args:
        ear: What to listen with.
        is_enough: The condition.
        left: Says what is left when it fails.
    """
    quiet = 0
    while not is_enough():
        quiet = 0 if ear.listen() else quiet + 1
        assert quiet < 60 / PATIENCE, f"nothing more after {len(ear.told)}; {left()}"


def settle(stack: Stack, ear: Ear, loop: LoopThread) -> None:
    """Listen until no task is left and nothing more is told."""

    def is_settled() -> bool:
        counters = loop.call(stack.tasks.counters)
        return not counters.queued and not counters.in_flight and not ear.listen()

    def left() -> str:
        counters = loop.call(stack.tasks.counters)
        return f"{counters.queued} queued, in flight: {loop.call(stack.tasks.under_way)}"

    listen_until(ear, is_settled, left)


def dead_letters() -> list[datastore.Entity]:
    return list(datastore.Client().query(kind="AdjournDeadLetter").fetch())


def kill_workers(stack: Stack, function: str) -> None:
    """Kill the processes in which a function answers."""
    group = stack.functions.generation.running[function].group
    found = subprocess.run(["pgrep", "-P", str(group)], capture_output=True, text=True, check=False)
    for pid in found.stdout.split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
