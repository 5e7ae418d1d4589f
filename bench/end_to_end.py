"""Tasks executed end to end by the deferred function, tokens signed and verified.

    python -m bench.end_to_end [tasks]

`adjourn up` runs as a process of its own, with default limits and with none. The handler is
trivial: it tells that it ran over a datagram socket. Two figures for each: `live`, from the first
call to the last execution while eight threads enqueue; `drain`, from resuming a paused queue that
already holds all tasks to the last execution.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
from google.cloud.tasks_v2 import CloudTasksClient
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

import adjourn
from bench.laptop import Laptop, laptop, tell

_THREADS = 8


def main(tasks: int) -> None:
    """Print the table."""
    print(f"{tasks} tasks{'':<16}{'live':>12}{'drain':>14}")
    for title, options in (("default limits", []), ("no limits", ["--no-limits"])):
        with laptop("--memory", *options) as stack:
            live, drain = _live(stack, tasks), _drain(stack, tasks)
        print(f"{title:<24}{tasks / live:>10.0f}/s{tasks / drain:>12.0f}/s")


def _live(stack: Laptop, tasks: int) -> float:
    task = adjourn.App(stack.settings).deferred(name="bench_app.tell")(tell)
    task(0)
    stack.hear(1)
    with ThreadPoolExecutor(_THREADS) as pool:
        began = time.perf_counter()
        calls = pool.map(task, range(tasks))
        stack.hear(tasks)
        took = time.perf_counter() - began
        list(calls)
    return took


def _drain(stack: Laptop, tasks: int) -> float:
    settings = stack.settings
    task = adjourn.App(settings).deferred(name="bench_app.tell")(tell)
    with grpc.insecure_channel(settings.tasks_host) as channel:
        client = CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        queue = client.queue_path(settings.project, settings.location, settings.queue)
        client.pause_queue(name=queue)
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(task, range(tasks)))
        began = time.perf_counter()
        client.resume_queue(name=queue)
        stack.hear(tasks)
        return time.perf_counter() - began


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000)
