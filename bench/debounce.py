"""Calls of one debounced key: how many a second are kept.

    python -m bench.debounce [calls] [threads]

`adjourn up` runs as a process of its own, without limits; this process makes the calls.
"""

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import adjourn
from adjourn.errors import DeclarationError
from bench.laptop import laptop

_DECLARED = """

@app.deferred(debounce=5, max_wait=60, by="task")
def settled(number: int) -> None:
    ear.sendto(b"done", os.environ["BENCH_EAR"])
"""


def main(calls: int, threads: int) -> None:
    """Print the table."""
    with laptop("--no-limits", more=_DECLARED) as stack:
        os.environ |= stack.variables
        app = adjourn.App(stack.settings)

        @app.deferred(name="bench_app.settled", debounce=5, max_wait=60, by="task")
        def settled(number: int) -> None: ...

        settled(-1)
        with ThreadPoolExecutor(threads) as pool:
            _measure(f"by {threads} threads", calls, lambda: list(pool.map(settled, range(calls))))
        few = calls // 50
        _measure("one after the other", few, lambda: [settled(each) for each in range(few)])
        _measure("map", calls, lambda: settled.map(range(calls)))
        stack.hear(1)


def _measure(title: str, calls: int, make: Callable[[], object]) -> None:
    began, cpu = time.perf_counter(), time.process_time()
    try:
        make()
    except DeclarationError as error:
        print(f"{title:<24}{error}")
        return
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    each = cpu / calls * 1000
    print(f"{title:<24}{calls:>8,} calls{calls / seconds:>9,.0f}/s, {each:.2f} ms of CPU for each")


if __name__ == "__main__":
    main(*map(int, [*sys.argv[1:], *("10000", "100")[len(sys.argv) - 1 :]]))
