"""Time from `adjourn up` to the first executed task.

    python -m bench.startup [rounds]

The clock starts with the process. As soon as the stack has printed its addresses, this program
(which has its clients loaded) enqueues a call; the clock stops when the task, run by the deferred
function, has told so over a socket.
"""

import statistics
import sys
import time

from google.cloud import tasks_v2  # noqa: F401 - an application that is running has its client loaded

import adjourn
from bench.laptop import laptop, tell


def main(rounds: int) -> None:
    """Print the times."""
    up, first = zip(*(_measure() for _ in range(rounds)), strict=True)
    print(f"{'':<36}{'best':>8}{'median':>9}")
    for what, values in (("up to addresses printed", up), ("up to first task executed", first)):
        print(f"{what:<36}{min(values):>6.2f} s{statistics.median(values):>7.2f} s")


def _measure() -> tuple[float, float]:
    began = time.perf_counter()
    with laptop() as stack:
        up = time.perf_counter() - began
        adjourn.App(stack.settings).deferred(name="bench_app.tell")(tell)(0)
        stack.hear(1)
        return up, time.perf_counter() - began


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
