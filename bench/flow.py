"""Limited calls against plain ones: how many the stack runs in a second.

    python -m bench.flow [calls]

`adjourn up` runs as a process of its own, without dispatch limits. A paused queue that holds all
calls is resumed; the time ends with the last execution. The calls are plain; limited, with so many
keys that none waits; and limited by few keys, so that nearly all wait. Besides: CPU time for a
call, of the stack and of the function.
"""

import os
import sys
import time
from collections.abc import Callable

import grpc
from google.cloud.tasks_v2 import CloudTasksClient
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

import adjourn
from bench.laptop import Laptop, laptop
from bench.processes import cpu

_DECLARED = """

@app.deferred(flow=adjourn.Flow(key="key", concurrency=2))
def limited(key: int, number: int) -> None:
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

        @app.deferred(name="bench_app.limited", flow=adjourn.Flow(key="key", concurrency=2))
        def limited(key: int, number: int) -> None: ...

        def by(keys: int) -> Callable[[int], object]:
            return lambda number: limited.map(
                [each % keys for each in range(number)], range(number)
            )

        plain.map(range(_WARM_UP))
        by(_WARM_UP)(_WARM_UP)
        stack.hear(2 * _WARM_UP)
        show(stack, "plain", calls, lambda number: plain.map(range(number)))
        for keys in (1000, 10, 1):
            show(stack, f"limited, {keys:,} keys", calls, by(keys))


def show(stack: Laptop, title: str, calls: int, make: Callable[[int], object]) -> None:
    """Print a row."""
    settings = stack.settings
    queue = CloudTasksClient.queue_path(settings.project, settings.location, settings.queue)
    with grpc.insecure_channel(settings.tasks_host) as channel:
        client = CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        client.pause_queue(name=queue)
        make(calls)
        before, began = cpu(stack.process), time.perf_counter()
        client.resume_queue(name=queue)
        stack.hear(calls)
        seconds = time.perf_counter() - began
    used = zip(before, cpu(stack.process), strict=True)
    each = [(now - then) / calls * 1000 for then, now in used]
    print(f"{title:<22}{calls / seconds:>8,.0f}/s{each[0]:>8.2f} ms{each[1]:>8.2f} ms", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
