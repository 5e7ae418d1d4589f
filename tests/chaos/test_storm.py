"""Calls and walks while processes are killed and stopped, clocks jump and deliveries go wrong.

The stack runs in processes of its own and keeps its state in a file, as `adjourn up` does.
"""

import datetime as dt
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from google.cloud import datastore

from adjourn import RowList, RunHandle, RunState, Status
from adjourn.errors import EnqueueError, StoreError
from tests.chaos.stack_process import StackProcess
from tests.chaos.storm import Storm
from tests.chaos.storm_application import Walk, client, pay, plain
from tests.chaos.world import Ear, dead_letters, needs_pgrep

CALLS = int(os.environ.get("CHAOS_CALLS", "1000"))
ENTITIES = int(os.environ.get("CHAOS_ENTITIES", "1000"))
MINUTES = float(os.environ.get("CHAOS_MINUTES", "1000"))  # then no more calls are made
THREADS = 4
BACKLOG = 2000
PATIENCE = 180.0  # seconds in which something new has to happen
QUIET = 3.0

Report = Callable[[str, Storm], None]

log = logging.getLogger(__name__)

pytestmark = needs_pgrep


@pytest.fixture(scope="module")
def shared_process(
    tmp_path_factory: pytest.TempPathFactory, open_ear: Ear
) -> Iterator[StackProcess]:
    stack = StackProcess(tmp_path_factory.mktemp("storm"), {"CHAOS_EAR": open_ear.path})
    yield stack
    stack.stop()


@pytest.fixture
def process(shared_process: StackProcess, monkeypatch: pytest.MonkeyPatch) -> StackProcess:
    for name, value in shared_process.environment.items():
        monkeypatch.setenv(name, value)
    return shared_process


@pytest.fixture
def report(process: StackProcess, ear: Ear) -> Report:
    """Return what logs how much was done, and what was done to it."""
    began = time.monotonic()
    process.injected.clear()

    def report(work: str, storm: Storm) -> None:
        again = sum(ear.told.values()) - len(ear.told)
        minutes = (time.monotonic() - began) / 60
        log.info("%s in %.1f minutes, %d told again", work, minutes, again)
        log.info("processes and clocks: %s", dict(sorted(storm.happened.items())))
        log.info("deliveries: %s", dict(sorted(process.injected.items())))

    return report


def test_no_call_is_lost_and_no_payment_made_twice_in_a_storm(
    process: StackProcess, ear: Ear, report: Report
) -> None:
    calls = Calls(ear)
    storm = Storm(
        process, "deferred", done=lambda: len(ear.told), total=CALLS, events=events(CALLS)
    )
    with ThreadPoolExecutor(THREADS) as pool, storm:
        made = [pool.submit(calls.make) for _ in range(THREADS)]

        def are_done() -> bool:
            if not all(each.done() for each in made):
                return False
            if calls.number < CALLS:  # the time was up
                storm.stop()
            is_all_told = storm.is_over and len(ear.told) == calls.number
            return is_all_told and are_paid(calls.number)

        listen(ear, storm, are_done)
    while ear.listen():
        pass

    report(f"{calls.number} calls", storm)
    assert sum(each.result() for each in made) == calls.number
    assert ear.told.keys() == set(range(calls.number))
    paid = {each.key.id - 1: each["times"] for each in client().query(kind="Payment").fetch()}
    assert paid == dict.fromkeys(filter(is_paid, range(calls.number)), 1)
    assert dead_letters() == []


def test_a_walk_is_complete_exact_and_ends_once_in_a_storm(
    process: StackProcess, ear: Ear, report: Report
) -> None:
    fill()
    walk(client().query(kind="Number"), f"{ENTITIES} entities", process, ear, report)


def test_so_is_one_over_a_list(process: StackProcess, ear: Ear, report: Report) -> None:
    walk(RowList(range(ENTITIES)), f"{ENTITIES} rows of a list", process, ear, report)
    assert not list(client().query(kind="AdjournList").fetch())


def walk(source: object, what: str, process: StackProcess, ear: Ear, report: Report) -> None:
    run = Walk.start(source, {"sum": 0}, shards=8)
    storm = Storm(
        process, "queryiter", done=lambda: len(ear.told), total=ENTITIES, events=events(ENTITIES)
    )
    with storm:
        listen(ear, storm, lambda: storm.is_over and run_of(run).has_ended)

    report(what, storm)
    state = run_of(run)
    # An entity that was being handled each time when three steps in a row were killed is told as a
    # failure. That is rare, and nothing is lost.
    suspected = {number_in(each.entry) for each in run.failures()}
    assert ear.told.keys() | suspected == set(range(ENTITIES))
    assert len(suspected) <= ENTITIES // 10_000
    done = (Status.FINISHED, ENTITIES, len(suspected))
    assert (state.status, state.done, state.errors) == done
    assert len(state.shards) == 32
    end = client().get(client().key("WalkEnd", run.id))
    total = sum(range(ENTITIES)) - sum(suspected)
    assert dict(end or {}) == {"total": ENTITIES, "sum": total, "times": 1}
    assert dead_letters() == []


def number_in(entry: str) -> int:
    """Return the number of an entity such as Number/0042-7, or of `row 8 at 0:7`."""
    row = re.match(r"row (\d+) ", entry)
    return int(row[1]) - 1 if row else int(entry.rpartition("-")[2])


def events(total: int) -> int:
    """Return how often harm is done while so much work is done."""
    return min(200, max(9, total // 1000))


def is_paid(number: int) -> bool:
    """Whether a call is one that writes in a transaction."""
    return number % 5 == 0


def are_paid(calls: int) -> bool:
    """Whether all of so many calls have written what they write."""
    payments = client().query(kind="Payment")
    payments.keys_only()
    return sum(1 for _ in payments.fetch()) == sum(map(is_paid, range(calls)))


class Calls:
    """Makes calls in several threads, only some of them ahead of those that are told.

    Attributes:
        number: Of the next call.
    """

    def __init__(self, ear: Ear) -> None:
        self.number = 0
        self._ear = ear
        self._lock = threading.Lock()
        self._until = time.monotonic() + MINUTES * 60

    def make(self) -> int:
        """Make calls until there are enough or the time is up; return how many."""
        made = 0
        while (number := self._next()) is not None:
            while number - len(self._ear.told) > BACKLOG:
                threading.Event().wait(0.05)
            acknowledged(number)
            made += 1
        return made

    def _next(self) -> int | None:
        with self._lock:
            if self.number == CALLS or time.monotonic() > self._until:
                return None
            self.number += 1
            return self.number - 1


def acknowledged(number: int) -> None:
    """Make a call, again and again until it is acknowledged."""
    call = (pay if is_paid(number) else plain).options(call_name=f"call-{number}")
    for _ in range(1000):
        with suppress(EnqueueError, StoreError):
            call.defer(number)
            return
    raise AssertionError(f"call {number} was never acknowledged")


def fill() -> None:
    numbers = [(n, f"{n * 7919 % ENTITIES:08}-{n}") for n in range(ENTITIES)]
    for start in range(0, ENTITIES, 500):
        entities = []
        for n, name in numbers[start : start + 500]:
            entity = datastore.Entity(client().key("Number", name), exclude_from_indexes=("n",))
            entity["n"] = n
            entities.append(entity)
        client().put_multi(entities)
        if not start:  # from here on, each entity is added to the index by which a query is split
            list(client().query(kind="Number", order=["__scatter__"]).fetch(limit=1))


def run_of(run: RunHandle) -> RunState:
    state = run.fetch()
    assert state is not None
    return state


def listen(ear: Ear, storm: Storm, has_ended: Callable[[], bool]) -> None:
    """Listen until the work has ended; let time pass when nothing is heard for a while."""
    heard = jumped = time.monotonic()
    while True:
        if ear.listen():
            heard = time.monotonic()
            continue
        assert storm.error is None, storm.error
        now = time.monotonic()
        assert now - heard < PATIENCE, f"nothing more after {len(ear.told)}: {storm.happened}"
        if storm.is_over and now - max(heard, jumped) > QUIET:
            storm.jump(dt.timedelta(minutes=1))
            jumped = now
        if has_ended():
            return
