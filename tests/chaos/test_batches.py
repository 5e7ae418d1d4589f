"""Batches while deliveries go wrong in every way and processes are killed.

The children and the ends tell when they run to one socket, which puts it in order: an end that is
told before one of its children is early.

    CHAOS_BATCHES=1000 CHAOS_CHILDREN=1000 pytest tests/chaos/test_batches.py -o log_cli=true \
        -o log_cli_level=INFO

The storm, in which the stack is killed, too, takes minutes, and is made only if a size is given.
"""

import logging
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from adjourn import AdjournError, App
from adjourn_local.datastore.commits import Commits
from adjourn_local.http.faults import Faults
from adjourn_local.runtime.loop import LoopThread
from adjourn_local.runtime.stack import Stack
from tests.chaos import storm_application
from tests.chaos.application import app, batch_tasks
from tests.chaos.batch_tasks import GROWING, BatchTasks
from tests.chaos.stack_process import StackProcess
from tests.chaos.storm import Storm
from tests.chaos.test_flow import is_idle
from tests.chaos.world import Ear, dead_letters, kill_workers, needs_pgrep

BATCHES = int(os.environ.get("CHAOS_BATCHES", "2"))
CHILDREN = int(os.environ.get("CHAOS_CHILDREN", "51"))
KILLS = max(1, BATCHES * CHILDREN // 5_000)
FAULTS = Faults(duplicates=0.05, lost_answers=0.05, errors=0.02, reorder=0.05, seed=7)
PATIENCE = 180.0  # seconds in which something new has to happen
QUIET = 0.5  # then time passes, so that backoffs and leases of dead processes end

log = logging.getLogger(__name__)


class Watch:
    """Follows what the children and the ends tell.

    Attributes:
        ran: How often each child has run, by batch.
        ends: How often the end of each batch was told.
        early: Batches whose end was told before that of a child.
    """

    def __init__(self) -> None:
        self.ran: dict[str, Counter[int]] = defaultdict(Counter)
        self.ends: Counter[str] = Counter()
        self.early: list[str] = []

    def take(self, what: str, batch: str, *numbers: str) -> None:
        if what == "child":
            self.ran[batch][int(numbers[0])] += 1
            return
        self.ends[batch] += 1
        if self.ran[batch].keys() != expected():
            self.early.append(batch)


def expected() -> set[int]:
    """Return the numbers of the children of a batch."""
    return {*range(CHILDREN), *(-number - 1 for number in range(0, CHILDREN, GROWING))}


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Return how many entities of which kind are written from now on."""
    made: Counter[str] = Counter()
    apply = Commits._apply

    async def counted(self: Commits, request: Any, own: Any) -> Any:
        result = await apply(self, request, own)
        for mutation in request.mutations:
            operation = mutation.WhichOneof("operation")
            changed = getattr(mutation, operation)
            made[(changed if operation == "delete" else changed.key).path[-1].kind] += 1
        return result

    monkeypatch.setattr(Commits, "_apply", counted)
    return made


@needs_pgrep
def test_each_batch_ends_once_and_never_early(
    stack: Stack, ear: Ear, steer: Callable[[str], None], loop: LoopThread, writes: Counter[str]
) -> None:
    stack.sender.faults = FAULTS
    watch, began = Watch(), time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        made = [pool.submit(make, app, batch_tasks, f"{began}-{n}") for n in range(BATCHES)]
        follow(watch, stack, ear, loop, lambda: steer("advance=3m"))
    assert all(each.result() is None for each in made)
    seconds = time.monotonic() - began

    children = BATCHES * len(expected())
    of_batches = writes["AdjournBatch"] + writes["AdjournBatchShard"]
    log.info("%d batches of %d children in %.0f s, %d kills", BATCHES, CHILDREN, seconds, KILLS)
    log.info("deliveries: %s", dict(stack.sender.injected))
    log.info("writes for a child: %.3f; %s", of_batches / children, dict(writes))
    check(watch, app)


@needs_pgrep
@pytest.mark.skipif("CHAOS_BATCHES" not in os.environ, reason="takes minutes; give CHAOS_BATCHES")
def test_so_it_does_in_a_storm(ear: Ear, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = StackProcess(tmp_path, {"CHAOS_EAR": ear.path})
    for name, value in process.environment.items():
        monkeypatch.setenv(name, value)
    watch, began, total = Watch(), time.monotonic(), BATCHES * len(expected())
    tasks, storm_app = storm_application.batch_tasks, storm_application.app
    storm = Storm(
        process, "deferred", done=lambda: len(ear.batches), total=total, events=max(9, total // 500)
    )
    with ThreadPoolExecutor(2) as pool, storm:
        made = [pool.submit(make, storm_app, tasks, f"{began}-{n}") for n in range(BATCHES)]
        follow_storm(watch, ear, storm)
    assert all(each.result() is None for each in made)
    log.info("%d batches of %d children in %.0f s", BATCHES, CHILDREN, time.monotonic() - began)
    log.info("processes and clocks: %s", dict(sorted(storm.happened.items())))
    log.info("deliveries: %s", dict(sorted(process.injected.items())))
    check(watch, storm_app)
    process.stop()


def check(watch: Watch, application: App) -> None:
    """Check what was told, and what is in the database."""
    assert watch.early == []
    assert set(watch.ends.values()) == {1}
    assert len(watch.ends) == BATCHES
    assert dead_letters() == []
    found = [each for each in application.batches().find() if each["name"] in watch.ends]
    assert {(each["status"], each["done"], each["total"]) for each in found} == {
        ("done", len(expected()), len(expected()))
    }
    further = sum(count - 1 for ran in watch.ran.values() for count in ran.values())
    log.info("children that ran again, as at-least-once delivery allows: %d", further)


def follow_storm(watch: Watch, ear: Ear, storm: Storm) -> None:
    """Listen until all batches have ended and the storm is over."""
    heard = time.monotonic()
    taken = 0
    while len(watch.ends) < BATCHES or not storm.is_over or time.monotonic() - heard < QUIET:
        if ear.listen():
            heard = time.monotonic()
            for each in ear.batches[taken:]:
                watch.take(*each)
            taken = len(ear.batches)
        if storm.error:
            raise storm.error
        assert time.monotonic() - heard < PATIENCE, f"nothing more after {taken}"


def make(application: App, tasks: BatchTasks, name: str) -> None:
    """Make a batch; run its block again until it does not break off."""
    while True:
        with suppress(AdjournError):
            with application.batch(name=name, on_done=tasks.ended) as batch:
                batch.map(tasks.child, [name] * CHILDREN, range(CHILDREN))
            return


def follow(
    watch: Watch, stack: Stack, ear: Ear, loop: LoopThread, let_time_pass: Callable[[], None]
) -> None:
    """Listen until all batches have ended and nothing is under way, killing processes meanwhile."""
    kills = [BATCHES * CHILDREN * n // (KILLS + 1) for n in range(1, KILLS + 1)]
    heard = jumped = time.monotonic()
    taken = quiet_jumps = 0
    while len(watch.ends) < BATCHES or quiet_jumps < 2:
        now = time.monotonic()
        if ear.listen():
            heard, quiet_jumps = now, 0
            for each in ear.batches[taken:]:
                watch.take(*each)
            taken = len(ear.batches)
        elif now - max(heard, jumped) > QUIET and is_idle(stack, loop):
            let_time_pass()
            jumped = now
            quiet_jumps += 1
        if kills and taken >= kills[0]:
            kills.pop(0)
            kill_workers(stack, "deferred")
        assert now - heard < PATIENCE, f"nothing more after {taken}"
