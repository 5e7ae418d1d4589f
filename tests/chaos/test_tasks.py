"""Thousands of calls through the real functions, while deliveries go wrong in every way."""

import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from google.cloud import datastore

from adjourn import Task
from adjourn_local.runtime.loop import LoopThread
from adjourn_local.runtime.stack import Stack
from tests.chaos.application import once, pay, plain
from tests.chaos.world import (
    Ear,
    dead_letters,
    kill_workers,
    listen_until,
    needs_pgrep,
    settle,
)

CALLS = int(os.environ.get("CHAOS_CALLS", "1000"))


def call(task: Task[[int], None]) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert all(handle.is_new for handle in pool.map(task, range(CALLS)))


def kill_on_the_way(stack: Stack, ear: Ear) -> None:
    """Kill the workers after a quarter, a half and three quarters of the calls."""
    for kills in range(1, 4):
        listen_until(ear, lambda wanted=CALLS * kills // 4: len(ear.told) >= wanted)
        kill_workers(stack)


def test_calls_of_once_tasks_take_effect_exactly_once(
    stack: Stack, ear: Ear, loop: LoopThread
) -> None:
    call(once)

    settle(stack, ear, loop)

    assert stack.sender.injected["duplicate"] > CALLS // 20
    assert ear.told == Counter(range(CALLS))
    assert dead_letters() == []


@needs_pgrep
def test_no_call_is_lost_when_workers_are_killed(stack: Stack, ear: Ear, loop: LoopThread) -> None:
    call(plain)

    kill_on_the_way(stack, ear)
    settle(stack, ear, loop)

    assert ear.told.keys() == set(range(CALLS))
    assert dead_letters() == []


@needs_pgrep
def test_what_a_transaction_writes_is_exactly_once_when_workers_are_killed(
    stack: Stack, ear: Ear, loop: LoopThread, steer: Callable[[str], None]
) -> None:
    call(pay)

    kill_on_the_way(stack, ear)
    # Ends leases and transactions of those that were killed, and of some that were not.
    steer("advance=1m")
    settle(stack, ear, loop)

    payments = datastore.Client().query(kind="Payment").fetch()
    assert {each.key.id - 1: each["times"] for each in payments} == dict.fromkeys(range(CALLS), 1)
    assert dead_letters() == []
