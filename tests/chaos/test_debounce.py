"""A hundred callers at once on one debounced task, while deliveries go wrong and a worker dies."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from adjourn_local.http.faults import Faults
from adjourn_local.runtime.loop import LoopThread
from adjourn_local.runtime.stack import Stack
from tests.chaos.application import settled
from tests.chaos.world import Ear, dead_letters, kill_workers, listen_until, needs_pgrep

CALLERS = 100
FAULTS = Faults(duplicates=0.4, lost_answers=0.3, errors=0.2, seed=5)


@needs_pgrep
def test_of_a_hundred_callers_at_once_the_last_call_runs_once(
    stack: Stack, ear: Ear, loop: LoopThread, steer: Callable[[str], None]
) -> None:
    def is_settled() -> bool:
        counters = loop.call(stack.tasks.counters)
        if counters.queued and not counters.in_flight:
            steer("advance=1m")  # what was claimed by a worker that died waits for its lease
        return not counters.queued and not counters.in_flight and not ear.listen()

    stack.sender.faults = FAULTS
    steer("freeze")
    with ThreadPoolExecutor(CALLERS) as pool:
        handles = list(pool.map(settled, range(CALLERS)))
    last = settled(CALLERS)
    assert sum(handle.is_new for handle in handles) == 1
    assert not last.is_new
    steer("advance=5m")
    kill_workers(stack, "deferred")
    listen_until(ear, is_settled)

    assert ear.told == Counter([CALLERS])
    assert dead_letters() == []
