"""Hours of a schedule within seconds, while jobs and tasks are doubled, lost and refused."""

import datetime as dt
from collections.abc import Callable

import pytest

from adjourn_local.http.faults import Faults
from adjourn_local.runtime.loop import LoopThread
from adjourn_local.runtime.stack import Stack
from tests.chaos.world import Ear, dead_letters, listen_until

STEPS = 30
FAULTS = Faults(duplicates=0.4, lost_answers=0.3, errors=0.2, seed=7)
SLOT = dt.timedelta(minutes=10)
MIDNIGHT = dt.datetime(2033, 5, 4, tzinfo=dt.UTC)


@pytest.mark.usefixtures("jobs")
def test_each_due_time_takes_effect_exactly_once(
    stack: Stack, ear: Ear, loop: LoopThread, steer: Callable[[str], None]
) -> None:
    stack.sender.faults = FAULTS

    def is_settled() -> bool:
        """Whether all is done; what waits for its time is given it when nothing is under way."""
        loop.run(stack.scheduler.idle())
        counters = loop.call(stack.tasks.counters)
        if counters.queued and not counters.in_flight:
            steer("advance=1s")
        return not counters.queued and not counters.in_flight and not ear.listen()

    # The clock stands still while anything runs: no lease ends, nothing becomes due beside it. A
    # few seconds before a due time its slot is found ahead of it.
    steer("freeze")
    steer(f"jump={(MIDNIGHT - dt.timedelta(seconds=5)).isoformat()}")
    for _ in range(STEPS):
        steer("advance=5m")
        listen_until(ear, is_settled)

    injected = stack.sender.injected
    assert min(injected[name] for name in ("duplicate", "lost-answer", "error")) >= STEPS / 4
    assert set(ear.slots.values()) == {1}
    slots = [slot for slot in ear.slots if slot >= MIDNIGHT]  # one may have come before the jump
    assert not any((slot - MIDNIGHT) % SLOT for slot in slots)
    due = (max(slots) - min(slots)) / SLOT + 1
    assert len(slots) >= due * 0.7 >= STEPS / 4
    assert dead_letters() == []
