"""Thousands of calls through the real functions, while deliveries go wrong in every way."""

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from adjourn import Task
from adjourn_local.runtime.loop import LoopThread
from adjourn_local.runtime.stack import Stack
from tests.chaos.application import once
from tests.chaos.world import Ear, dead_letters, settle

CALLS = int(os.environ.get("CHAOS_CALLS", "1000"))


def call(task: Task[[int], None]) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert all(handle.is_new for handle in pool.map(task, range(CALLS)))


def test_calls_of_once_tasks_take_effect_exactly_once(
    stack: Stack, ear: Ear, loop: LoopThread
) -> None:
    call(once)

    settle(stack, ear, loop)

    assert stack.sender.injected["duplicate"] > CALLS // 20
    assert ear.told == Counter(range(CALLS))
    assert dead_letters() == []
