"""Limited calls while deliveries go wrong in every way and processes are killed.

What runs at the same time is read from the log that the calls write themselves: they tell when they
begin and end to one socket, which puts it in order.

    CHAOS_FLOW=100000 pytest tests/chaos/test_flow.py -o log_cli=true -o log_cli_level=INFO

The crowd beside which calls of other keys are timed, one after the other, has a size of its own
(CHAOS_CROWD).
"""

import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import combinations
from typing import Any

import pytest

from adjourn.flow.records import record_key
from adjourn_local.datastore.commits import Commits
from adjourn_local.http.faults import Faults
from adjourn_local.runtime.loop import LoopThread
from adjourn_local.runtime.stack import Stack
from tests.chaos.application import app, limited, plain, rated
from tests.chaos.world import Ear, dead_letters, listen_until

CALLS = int(os.environ.get("CHAOS_FLOW", "100"))
KEYS = max(10, min(1000, CALLS // 20))
CROWD = int(os.environ.get("CHAOS_CROWD", str(min(CALLS, 1000))))
KILLS = max(2, CALLS // 1000)
LIMIT = 2
RATED = max(80, CALLS // 10)
FAULTS = Faults(duplicates=0.05, lost_answers=0.05, seed=7)
PATIENCE = 120.0  # seconds in which something new has to happen
QUIET = 0.5  # then time passes, so that leases of dead processes end

log = logging.getLogger(__name__)


def key_of(number: int) -> str:
    """Return the key of a call: one key has nine of ten calls in the second half."""
    is_busy = number >= CALLS // 2 and number % 10
    return "busy" if is_busy else f"key-{number * 7919 % KEYS}"


class Windows:
    """Follows what the calls tell.

    Attributes:
        done: Numbers of the calls that have ended.
        most: The most calls that ever ran at once, by key.
    """

    def __init__(self) -> None:
        self.done: Counter[int] = Counter()
        self.most: Counter[str] = Counter()
        self._running: dict[str, set[tuple[str, str]]] = {}
        self.pids: set[int] = set()
        self.dead: set[int] = set()

    def take(self, _at: float, what: str, pid: str, key: str, number: str) -> None:
        running = self._running.setdefault(key, set())
        running -= {each for each in running if int(each[0]) in self.dead}
        self.pids.add(int(pid))
        if what == "begin":
            running.add((pid, number))
            self.most[key] = max(self.most[key], len(running))
        else:
            running.discard((pid, number))
            self.done[int(number)] += 1

    def kill(self) -> None:
        """Kill all processes that have told something, and are there."""
        for pid in self.pids - self.dead:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self.dead.add(pid)


def test_no_window_is_over_its_limit_and_no_call_lost(
    stack: Stack, ear: Ear, steer: Callable[[str], None], loop: LoopThread
) -> None:
    stack.sender.faults = FAULTS
    windows = Windows()
    began = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        enqueued = [pool.submit(enqueue, start) for start in range(2)]
        follow(windows, ear, partial(is_idle, stack, loop), lambda: steer("advance=3m"))
    assert all(each.result() is None for each in enqueued)
    seconds = time.monotonic() - began

    log.info("%d calls over %d keys in %.0f s, %d kills", CALLS, KEYS + 1, seconds, KILLS)
    log.info("deliveries: %s", dict(stack.sender.injected))
    assert windows.done.keys() == set(range(CALLS))
    assert windows.most["busy"] == LIMIT == max(windows.most.values())
    assert dead_letters() == []


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return the commits from now on that write the record of a key: of each, its kinds."""
    made: list[list[str]] = []
    record = record_key(limited.name, "count")
    apply = Commits._apply

    async def counted(self: Commits, request: Any, own: Any) -> Any:
        result = await apply(self, request, own)
        written = [key_in(mutation).path[-1] for mutation in request.mutations]
        if any(each.name == record.name for each in written):
            made.append(sorted(each.kind for each in written))
        return result

    monkeypatch.setattr(Commits, "_apply", counted)
    return made


def key_in(mutation: Any) -> Any:
    """Return the key of what a mutation changes."""
    operation = mutation.WhichOneof("operation")
    changed = getattr(mutation, operation)
    return changed if operation == "delete" else changed.key


def test_a_call_that_runs_at_once_costs_two_commits_and_one_that_waits_at_most_four(
    stack: Stack, ear: Ear, loop: LoopThread, commits: list[list[str]]
) -> None:
    stack.sender.faults = Faults()
    flows, name = app.flows(), limited.name
    limited("count", 1)
    listen_until(ear, lambda: has_ended(ear, "count", 1) and is_idle(stack, loop))
    assert commits == [["AdjournFlow"]] * 2

    flows.pause(name, "count")
    commits.clear()
    limited("count", 2)
    listen_until(ear, lambda: flows.get(name, "count").waiting == 1 and is_idle(stack, loop))
    assert commits == [["AdjournCall", "AdjournFlow"]]
    flows.resume(name, "count")
    listen_until(ear, lambda: has_ended(ear, "count", 2) and is_idle(stack, loop))
    # The first of these is that of `resume`; the next one calls the call, which begins and ends.
    assert len(commits) - 1 <= 4
    assert dead_letters() == []


def test_a_busy_key_delays_no_other(stack: Stack, ear: Ear) -> None:
    stack.sender.faults = Faults()
    small = max(20, CROWD // 20)
    waits(ear, small)  # the first ones wait for connections
    alone = waits(ear, small)
    flows, name = app.flows(), limited.name
    plain.map(range(CROWD))
    beside_plain = waits(ear, small)
    listen_until(ear, lambda: len(ear.told) == CROWD)
    limited("flood", CROWD)
    listen_until(ear, lambda: has_ended(ear, "flood", CROWD))
    flows.pause(name, "flood")
    limited.map(["flood"] * CROWD, range(CROWD))
    arriving = waits(ear, small)
    listen_until(ear, lambda: flows.get(name, "flood").waiting == CROWD)
    flows.resume(name, "flood")
    beside = waits(ear, small)

    left = flows.get(name, "flood").waiting
    log.info("%d small keys beside %d calls of another one: alone %s", small, CROWD, told(alone))
    log.info("while plain calls arrive %s", told(beside_plain))
    log.info("while the others arrive %s, wait %s; %d left", told(arriving), told(beside), left)
    assert left > 0
    listen_until(ear, lambda: len(ear.ended["flood"]) > CROWD)


def waits(ear: Ear, calls: int) -> list[float]:
    """Make one call after the other, each of another key; return how long each took to begin."""
    found = []
    for number in range(calls):
        made = time.monotonic()
        limited(f"small-{made}", number)
        key = f"small-{made}"
        listen_until(ear, lambda key=key: key in ear.begun)
        found.append(ear.begun[key] - made)
    return found


def test_no_window_is_over_its_rate_and_no_call_lost(stack: Stack, ear: Ear) -> None:
    stack.sender.faults = FAULTS
    for number in range(RATED):
        rated(f"rate-{number % 2}", number)

    keys = ("rate-0", "rate-1")
    listen_until(ear, lambda: sum(len(ear.ended[key]) for key in keys) == RATED)

    for key in keys:
        times = sorted(float(each[1]) for each in ear.flows if each[3] == key)
        for first, last in combinations(range(len(times)), 2):
            assert last - first + 1 <= 10 + 20 * (times[last] - times[first])
    assert dead_letters() == []


def is_idle(stack: Stack, loop: LoopThread) -> bool:
    """Whether nothing is delivered; guards may be queued for later."""
    return not loop.call(stack.tasks.counters).in_flight


def has_ended(ear: Ear, key: str, number: int) -> bool:
    return number in ear.ended[key]


def follow(
    windows: Windows, ear: Ear, may_jump: Callable[[], bool], let_time_pass: Callable[[], None]
) -> None:
    """Listen until all calls have ended, and kill processes on the way.

    Time passes only while nothing runs: it would outlive its lease.
    """
    kills = [CALLS * n // (KILLS + 1) for n in range(1, KILLS + 1)]
    heard = jumped = time.monotonic()
    taken = 0
    while len(windows.done) < CALLS:
        now = time.monotonic()
        if ear.listen():
            heard = now
            for each in ear.flows[taken:]:
                windows.take(*each)
            taken = len(ear.flows)
        elif now - max(heard, jumped) > QUIET and may_jump():
            let_time_pass()
            jumped = now
        if kills and len(windows.done) >= kills[0]:
            kills.pop(0)
            windows.kill()
        assert now - heard < PATIENCE, f"nothing more after {len(windows.done)}"


def enqueue(start: int) -> None:
    for number in range(start, CALLS, 2):
        limited(key_of(number), number)


def told(waits: Iterable[float]) -> str:
    ordered = sorted(waits)
    return f"p95 {ordered[len(ordered) * 95 // 100]:.2f} s, longest {ordered[-1]:.2f} s"
