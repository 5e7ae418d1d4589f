"""Children of batches against plain calls: how many the stack runs in a second.

    python -m bench.batches [calls]

`adjourn up` runs as a process of its own, without dispatch limits. A paused queue that holds all
calls is resumed; the time ends with the last execution, which for a batch is that of its end.
"""

import os
import sys
from functools import partial

import adjourn
from bench.flow import show
from bench.laptop import laptop

_DECLARED = """

@app.deferred
def ended(summary: adjourn.BatchSummary) -> None:
    ear.sendto(b"done", os.environ["BENCH_EAR"])
"""
_WARM_UP = 50


def main(calls: int) -> None:
    """Print the table."""
    with laptop("--memory", "--no-limits", more=_DECLARED) as stack:
        os.environ |= stack.variables
        app = adjourn.App(stack.settings)

        @app.deferred(name="bench_app.tell")
        def plain(number: int) -> None: ...

        @app.deferred(name="bench_app.ended")
        def ended(summary: adjourn.BatchSummary) -> None: ...

        def batches(children: int, number: int) -> None:
            """Make batches which take as many executions, ends included."""
            for first in range(0, number, children + 1):
                with app.batch(on_done=ended) as batch:
                    batch.map(plain, range(min(children, number - first - 1)))

        batches(_WARM_UP, _WARM_UP)
        stack.hear(_WARM_UP)
        show(stack, "plain", calls, lambda number: plain.map(range(number)))
        for children in (1000, 100):
            show(stack, f"batches of {children:,}", calls, partial(batches, children))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2002)
