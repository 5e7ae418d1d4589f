"""Startup tasks of functions that really start, and of workers that really are forked."""

import itertools
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from adjourn_local.runtime.loop import LoopThread
from adjourn_local.runtime.stack import Stack, running
from tests.e2e.conftest import Ear, Log
from tests.e2e.startup_application import app, say

ALL = ["broken", "migrate", "warm"]


@pytest.fixture
def ear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ear]:
    path = tmp_path / "ear"
    monkeypatch.setenv("E2E_EAR", str(path))
    ear = Ear(path)
    yield ear
    ear.close()


@contextmanager
def starting(
    state: Path, monkeypatch: pytest.MonkeyPatch, **environment: str
) -> Iterator[tuple[Stack, LoopThread, Log]]:
    """Start the stack, let this process talk to it, and yield it with its thread and its log."""
    log = Log()
    stack = Stack("tests.e2e.startup_application:app", state=state, write=log.write)
    with running(stack) as loop, monkeypatch.context() as patch:
        for name, value in {**stack.environment(), **environment}.items():
            patch.setenv(name, value)
        patch.setattr(app, "_wiring", None)
        yield stack, loop, log


def settle(stack: Stack, loop: LoopThread) -> None:
    """Return when all tasks were answered: none of them comes again."""
    deadline = time.monotonic() + 60
    while (held := loop.call(stack.tasks.counters)).queued or held.in_flight:
        assert time.monotonic() < deadline, held


def heard_of(ear: Ear, number: int) -> list[str]:
    """Return the next words but those of a call that may come again."""
    words = (ear.hear() for _ in itertools.count())
    return list(itertools.islice((word for word in words if "hello in" not in word), number))


def test_each_runs_once_soon_after_the_functions_start_and_never_for_a_new_worker(
    ear: Ear, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with starting(tmp_path, monkeypatch) as (stack, loop, log):
        assert sorted(ear.hear() for _ in ALL) == ALL
        log.find("deferred", '"startup.enqueued"', "warm")
        settle(stack, loop)

        say("hello")
        worker = int(ear.hear().removeprefix("hello in "))
        os.kill(worker, signal.SIGKILL)
        say("again")

        word, _, other = heard_of(ear, 1)[0].partition(" in ")
        assert (word, int(other) != worker) == ("again", True)
        app.run_startup_tasks(wait=True)
        # This process is an instance of its own, but of the same revision.
        assert sorted(heard_of(ear, 2)) == ["broken", "warm"]
        say("last")
        assert heard_of(ear, 1)[0].startswith("last in")


def test_every_start_of_the_stack_is_a_deployment(
    ear: Ear, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        with starting(tmp_path, monkeypatch):
            assert sorted(ear.hear() for _ in ALL) == ALL
