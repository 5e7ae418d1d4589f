"""What a function's process changes about itself when it is debugged."""

import asyncio
import threading

import pytest

from adjourn.concurrency import TimeLimits
from adjourn.coroutines import CoroutineRunner, finished
from adjourn_local.runtime import debugger


@pytest.fixture(autouse=True)
def _debugged(monkeypatch):
    monkeypatch.setattr(TimeLimits, "limit", TimeLimits.limit)
    monkeypatch.setattr(CoroutineRunner, "result", CoroutineRunner.result)
    debugger.take_time()


def test_no_limit_of_time_ends_a_task():
    with TimeLimits().limit(-1.0, RuntimeError):
        assert sum(range(100_000))


def test_a_coroutine_runs_where_the_debugger_is_for_as_long_as_it_likes():
    async def where():
        await asyncio.sleep(0.01)
        return threading.current_thread()

    assert finished(where(), 0.001, TimeoutError) is threading.current_thread()
