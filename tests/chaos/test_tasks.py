"""Thousands of calls through the real functions, while deliveries are doubled, lost and refused."""

import asyncio
import os
import random
import shutil
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from google.cloud import datastore

from adjourn import Task
from adjourn_local.clock import SystemClock
from adjourn_local.sender import Answer, Outgoing, Sender
from adjourn_local.stack import Stack, running
from adjourn_local.tasks import Options
from tests.chaos.application import app, once, pay, plain

CALLS = int(os.environ.get("CHAOS_CALLS", "1000"))
needs_pgrep = pytest.mark.skipif(
    not shutil.which("pgrep"), reason="needs pgrep to find the workers"
)
LOST = Answer(status=None, error="UNAVAILABLE", retry_after=None)
PATIENCE = 0.2  # seconds
REFUSED = Answer(status=503, error="", retry_after=None)


class Chaos(Sender):
    """Doubles a tenth of the deliveries, loses a tenth of the answers, refuses a twentieth."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self._random = random.Random(7)
        self.doubled = 0

    async def send(self, request: Outgoing, deadline: float) -> Answer:
        fate = self._random.random()
        if fate < 0.05:
            return REFUSED
        if fate < 0.15:
            self.doubled += 1
            answers = await asyncio.gather(
                super().send(request, deadline), super().send(request, deadline)
            )
            return answers[self._random.randrange(2)]
        answer = await super().send(request, deadline)
        return LOST if fate < 0.25 else answer


class Ear:
    """Counts what the functions tell."""

    def __init__(self, path: Path) -> None:
        self.told: Counter[int] = Counter()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(PATIENCE)

    def listen(self) -> bool:
        """Take in one more number; False if none came for a moment."""
        try:
            self.told[int(self._socket.recv(64))] += 1
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(scope="module")
def environment() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def open_ear(
    tmp_path_factory: pytest.TempPathFactory, environment: pytest.MonkeyPatch
) -> Iterator[Ear]:
    path = tmp_path_factory.mktemp("chaos") / "ear"
    environment.setenv("CHAOS_EAR", str(path))
    ear = Ear(path)
    yield ear
    ear.close()


@pytest.fixture
def ear(open_ear: Ear) -> Ear:
    open_ear.told.clear()
    return open_ear


@pytest.fixture(scope="module")
def chaos() -> Chaos:
    return Chaos()


@pytest.fixture(scope="module")
def shared_stack(
    open_ear: Ear,  # noqa: ARG001 - the functions inherit its address
    chaos: Chaos,
    environment: pytest.MonkeyPatch,
) -> Iterator[Stack]:
    stack = Stack(app, "tests.chaos.application:app", sender=chaos, tasks=Options(limits=False))
    for name, value in stack.ports.environment().items():
        environment.setenv(name, value)
    with running(stack):
        yield stack


@pytest.fixture
def stack(shared_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    for name, value in shared_stack.ports.environment().items():
        monkeypatch.setenv(name, value)
    return shared_stack


def call(task: Task[[int], None]) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert all(handle.is_new for handle in pool.map(task, range(CALLS)))


def listen_until(ear: Ear, is_enough: Callable[[], bool]) -> None:
    """Listen until a condition holds; fail after a minute in which nothing was told."""
    quiet = 0
    while not is_enough():
        quiet = 0 if ear.listen() else quiet + 1
        assert quiet < 60 / PATIENCE, f"nothing more after {len(ear.told)} calls"


def settle(stack: Stack, ear: Ear) -> None:
    """Listen until no task is left and nothing more is told."""

    def is_settled() -> bool:
        counters = stack.tasks.counters()
        return not counters.queued and not counters.in_flight and not ear.listen()

    listen_until(ear, is_settled)


def dead_letters() -> list[datastore.Entity]:
    return list(datastore.Client().query(kind="AdjournDeadLetter").fetch())


def kill_workers(stack: Stack) -> None:
    """Kill, as the system might, the process in which the deferred function runs tasks."""
    (master,) = (each for each in stack._functions._running if each.name == "deferred")
    workers = subprocess.run(
        ["pgrep", "-P", str(master.process.pid)], capture_output=True, text=True, check=False
    )
    for worker in workers.stdout.split():
        os.kill(int(worker), signal.SIGKILL)


def kill_on_the_way(stack: Stack, ear: Ear) -> None:
    """Kill the workers after a quarter, a half and three quarters of the calls."""
    for kills in range(1, 4):
        listen_until(ear, lambda wanted=CALLS * kills // 4: len(ear.told) >= wanted)
        kill_workers(stack)


def test_calls_of_once_tasks_take_effect_exactly_once(stack: Stack, ear: Ear, chaos: Chaos) -> None:
    call(once)

    settle(stack, ear)

    assert chaos.doubled > CALLS // 20
    assert ear.told == Counter(range(CALLS))
    assert dead_letters() == []


@needs_pgrep
def test_no_call_is_lost_when_workers_are_killed(stack: Stack, ear: Ear) -> None:
    call(plain)

    kill_on_the_way(stack, ear)
    settle(stack, ear)

    assert ear.told.keys() == set(range(CALLS))
    assert dead_letters() == []


@needs_pgrep
def test_what_a_transaction_writes_is_exactly_once_when_workers_are_killed(
    stack: Stack, ear: Ear
) -> None:
    call(pay)

    kill_on_the_way(stack, ear)
    settle(stack, ear)

    payments = datastore.Client().query(kind="Payment").fetch()
    assert {each.key.id - 1: each["times"] for each in payments} == dict.fromkeys(range(CALLS), 1)
    assert dead_letters() == []
