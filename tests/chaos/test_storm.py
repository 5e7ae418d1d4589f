"""Calls and walks while processes are killed and stopped, clocks jump and deliveries go wrong.

The stack runs in processes of its own and keeps its state in a file, as `adjourn up` does.
"""

import datetime as dt
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.cloud import datastore

from adjourn import RunHandle, RunState, Status
from adjourn.errors import EnqueueError, StoreError
from tests.chaos.stack_process import StackProcess
from tests.chaos.storm import Storm
from tests.chaos.storm_application import Walk, client, pay, plain
from tests.chaos.world import Ear, dead_letters, needs_pgrep

CALLS = int(os.environ.get("CHAOS_CALLS", "1000"))
ENTITIES = int(os.environ.get("CHAOS_ENTITIES", "1000"))
PATIENCE = 180.0  # seconds in which something new has to happen
QUIET = 3.0

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


def test_no_call_is_lost_and_no_payment_made_twice_in_a_storm(
    process: StackProcess, ear: Ear, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    storm = Storm(
        process, "deferred", done=lambda: len(ear.told), total=CALLS, events=events(CALLS)
    )
    with ThreadPoolExecutor(4) as pool, storm:
        calls = pool.map(acknowledged, range(CALLS))
        listen(ear, storm, lambda: len(ear.told) == CALLS and is_all_paid())
        repeated = sum(calls)
    while ear.listen():
        pass

    report(capsys, f"{CALLS} calls, {repeated} enqueued again", process, storm, ear, began)
    assert ear.told.keys() == set(range(CALLS))
    paid = {each.key.id - 1: each["times"] for each in client().query(kind="Payment").fetch()}
    assert paid == dict.fromkeys(filter(is_paid, range(CALLS)), 1)
    assert dead_letters() == []


def test_a_walk_is_complete_exact_and_ends_once_in_a_storm(
    process: StackProcess, ear: Ear, capsys: pytest.CaptureFixture[str]
) -> None:
    fill()
    began = time.monotonic()
    run = Walk.start(client().query(kind="Number"), {"sum": 0}, shards=8)
    storm = Storm(
        process, "queryiter", done=lambda: len(ear.told), total=ENTITIES, events=events(ENTITIES)
    )
    with storm:
        listen(ear, storm, lambda: run_of(run).has_ended)

    report(capsys, f"{ENTITIES} entities", process, storm, ear, began)
    state = run_of(run)
    assert ear.told.keys() == set(range(ENTITIES))
    assert (state.status, state.done, state.errors) == (Status.FINISHED, ENTITIES, 0)
    assert len(state.shards) == 32
    (end,) = client().query(kind="WalkEnd").fetch()
    expected = {"total": ENTITIES, "sum": sum(range(ENTITIES)), "times": 1}
    assert dict(end) == expected
    assert dead_letters() == []


def events(total: int) -> int:
    """Return how often harm is done while so much work is done."""
    return min(200, max(9, total // 1000))


def is_paid(number: int) -> bool:
    """Whether a call is one that writes in a transaction."""
    return number % 5 == 0


def is_all_paid() -> bool:
    payments = client().query(kind="Payment")
    payments.keys_only()
    return sum(1 for _ in payments.fetch()) == sum(map(is_paid, range(CALLS)))


def acknowledged(number: int) -> int:
    """Make a call until it is acknowledged; return how often it was not."""
    call = (pay if is_paid(number) else plain).options(name=f"call-{number}")
    for failures in range(1000):
        try:
            call.defer(number)
        except (EnqueueError, StoreError):
            continue
        return failures
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
        if storm.is_over and has_ended():
            return


def report(
    capsys: pytest.CaptureFixture[str],
    work: str,
    process: StackProcess,
    storm: Storm,
    ear: Ear,
    began: float,
) -> None:
    """Print what was done and what was done to it."""
    again = sum(ear.told.values()) - len(ear.told)
    harm = ", ".join(f"{name} {count}" for name, count in sorted(storm.happened.items()))
    faults = ", ".join(f"{name} {count}" for name, count in sorted(process.injected.items()))
    with capsys.disabled():
        print(f"\n{work} in {(time.monotonic() - began) / 60:.1f} minutes; {again} told again")
        print(f"  done to the processes: {harm}\n  done to deliveries: {faults}")
