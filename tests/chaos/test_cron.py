"""Hours of a schedule within seconds, while jobs and tasks are doubled, lost and refused."""

from collections import Counter

import pytest
import requests

from adjourn_local.faults import Faults
from adjourn_local.stack import Stack
from tests.chaos.world import Ear, dead_letters, settle

STEPS = 30
FAULTS = Faults(duplicates=0.4, lost_answers=0.3, errors=0.2, reorder=0.2, seed=7)


@pytest.fixture
def advance(stack: Stack):
    def steer(method: str, text: str = "") -> None:
        url = f"{stack.ports.url('http')}/control/clock"
        requests.request(method, url, data=text, timeout=30).raise_for_status()

    yield lambda time: steer("PUT", f"advance={time}")
    steer("DELETE")


def test_each_due_time_takes_effect_exactly_once(stack: Stack, ear: Ear, advance) -> None:
    stack.sender.faults = FAULTS

    for _ in range(STEPS):
        advance("5m")
        settle(stack, ear)

    injected = stack.sender.injected
    assert min(injected[name] for name in ("duplicate", "lost-answer", "error")) >= STEPS / 4
    assert ear.told == Counter(ear.told.keys())
    first, last = min(ear.told), max(ear.told)
    assert len(ear.told) >= (last - first + 1) * 0.7 >= STEPS / 4
    assert dead_letters() == []
