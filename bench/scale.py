"""Measure whether the laptop stack grows slower: 200,000 stored entities, 100,000 queued tasks.

    python -m bench.scale [--entities 200000] [--tasks 100000] [--steps 5]

Google's own clients fill one server each, in a process of its own, step by step; each line is
measured with what that step has stored.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count

import grpc
from google.cloud import datastore, tasks_v2
from google.cloud.datastore.query import PropertyFilter
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from bench import tasks_server
from bench.datastore import _client, _entity, _ours, _process
from bench.tasks_server import QUEUE, arrived, in_threads

_BATCH = 500
_TRIES = 300
_DELIVERIES = 1000


def _seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _fill(client: datastore.Client, start: int, end: int) -> None:
    for first in range(start, end, _BATCH):
        client.put_multi([_entity(client, "Item", n) for n in range(first, first + _BATCH)])


def _put(client: datastore.Client) -> None:
    for number in range(_TRIES):
        client.put(_entity(client, "Other", number))


def _get(client: datastore.Client, stored: int) -> None:
    for number in range(_TRIES):
        client.get(client.key("Item", number * stored // _TRIES + 1))


def _query(client: datastore.Client) -> None:
    for group in range(_TRIES):
        found = client.query(kind="Item", order=["-price"])
        found.add_filter(filter=PropertyFilter("group", "=", group % 50))
        list(found.fetch(limit=20))


def entities(total: int, steps: int) -> None:
    """Fill Datastore, and start it again with all that it has stored."""
    print(f"{'entities':>10}{'put_multi':>14}{'put':>10}{'get':>10}{'query':>10}")
    with tempfile.TemporaryDirectory() as folder:
        with _process(*_ours(folder)) as address:
            client = _client(address)
            for start in range(0, total, total // steps):
                stored = start + total // steps
                filling = _seconds(lambda: _fill(client, start, stored))  # noqa: B023
                # The first query makes the index.
                list(client.query(kind="Item", order=["-price"]).fetch(limit=1))
                _query(client)
                figures = (
                    _TRIES / _seconds(lambda: _put(client)),
                    _TRIES / _seconds(lambda: _get(client, stored)),  # noqa: B023
                    _TRIES / _seconds(lambda: _query(client)),
                )
                row = "".join(f"{figure:>8,.0f}/s" for figure in figures)
                print(f"{stored:>10,}{total / steps / filling:>12,.0f}/s{row}", flush=True)
        started = time.perf_counter()
        with _process(*_ours(folder)) as address:
            print(f"started again in {time.perf_counter() - started:.2f} s")
            _client(address).get(_client(address).key("Item", total))


def tasks(total: int, steps: int) -> None:
    """Fill a paused queue, letting a few tasks go after each step."""
    print(f"{'tasks':>10}{'create':>14}{'deliver':>12}")
    with (
        tasks_server.process(sys.executable, tasks_server.__file__, "work", "{port}") as worker,
        tasks_server.process(sys.executable, tasks_server.__file__, "unlimited", "{port}") as port,
        grpc.insecure_channel(f"localhost:{port}") as channel,
    ):
        grpc.channel_ready_future(channel).result(30)
        client = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        url = f"http://127.0.0.1:{worker}/"
        client.pause_queue(name=QUEUE)
        names = count()

        def create() -> None:
            client.create_task(
                parent=QUEUE,
                task={
                    "name": f"{QUEUE}/tasks/task-{next(names)}",
                    "http_request": {"url": url, "body": b"x" * 200},
                },
            )

        for step in range(1, steps + 1):
            creating = _seconds(lambda: in_threads(create, total // steps))
            before = arrived(url, 0)
            client.resume_queue(name=QUEUE)
            delivering = _seconds(lambda: arrived(url, before + _DELIVERIES))  # noqa: B023
            client.pause_queue(name=QUEUE)
            figures = f"{total / steps / creating:>12,.0f}/s{_DELIVERIES / delivering:>10,.0f}/s"
            print(f"{step * total // steps:>10,}{figures}", flush=True)


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--entities", type=int, default=200_000)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=5)
    arguments = parser.parse_args()
    entities(arguments.entities, arguments.steps)
    tasks(arguments.tasks, arguments.steps)


if __name__ == "__main__":
    main()
