"""Measure whether the laptop stack grows slower: 200,000 stored entities, 100,000 queued tasks.

    python -m bench.scale [--entities 200000] [--tasks 100000] [--steps 5]

Google's own clients fill one stack, a process of its own, step by step; each line is measured with
what that step has stored, and has the resident memory of the stack's process. In the end the stack
is stopped and started again, then killed and started again, with all that it has.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import grpc
import psutil
from google.cloud import datastore, tasks_v2
from google.cloud.datastore.query import PropertyFilter
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from adjourn_local.runtime.running_stack import find
from bench import tasks_server
from bench.datastore import _client, _entity
from bench.tasks_server import QUEUE, arrived, in_threads

_BATCH = 500
_TRIES = 300
_DELIVERIES = 1000


class Stack:
    """A stack without an application, over a state in a folder.

    Attributes:
        ready: The seconds until its addresses were printed.
        variables: What leads clients to it.
    """

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "adjourn_local", "emulators", "--port", "0"]
        options = ["--no-limits", "--create-queues", "--state", str(folder / "state")]
        began = time.perf_counter()
        self._process = subprocess.Popen(
            [*command, *options], cwd=folder, stdout=subprocess.PIPE, text=True
        )
        if not any(line.startswith("adjourn is up ") for line in self._process.stdout or ()):
            raise SystemExit("adjourn emulators did not start")
        self.ready = time.perf_counter() - began
        (running,) = find(folder)
        self.variables: Mapping[str, str] = running.environment

    def megabytes(self) -> float:
        """Return the resident memory."""
        return float(psutil.Process(self._process.pid).memory_info().rss / 1e6)

    def end(self, number: signal.Signals) -> None:
        """End it by a signal."""
        self._process.send_signal(number)
        self._process.communicate(timeout=60)


@contextmanager
def _stack(folder: Path, end: signal.Signals = signal.SIGINT) -> Iterator[Stack]:
    stack = Stack(folder)
    try:
        yield stack
    finally:
        stack.end(end)


def _seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _fill(client: datastore.Client, start: int, end: int) -> None:
    for first in range(start, end, _BATCH):
        client.put_multi([_entity(client, "Item", n) for n in range(first, first + _BATCH)])


def _put(client: datastore.Client, stored: int) -> None:
    # Each changes its entity: one that stays as it is would not be written.
    for number in range(_TRIES):
        client.put(_entity(client, "Other", stored + number))


def _get(client: datastore.Client, stored: int) -> None:
    for number in range(_TRIES):
        client.get(client.key("Item", number * stored // _TRIES + 1))


def _query(client: datastore.Client) -> None:
    for group in range(_TRIES):
        found = client.query(kind="Item", order=["-price"])
        found.add_filter(filter=PropertyFilter("group", "=", group % 50))
        list(found.fetch(limit=20))


def entities(stack: Stack, total: int, steps: int) -> None:
    """Fill Datastore."""
    heads = f"{'put_multi':>14}{'put':>10}{'get':>10}{'query':>10}{'memory':>10}"
    print(f"{'entities':>10}{heads}")
    client = _client(stack.variables["DATASTORE_EMULATOR_HOST"])
    for start in range(0, total, total // steps):
        stored = start + total // steps
        filling = _seconds(lambda: _fill(client, start, stored))  # noqa: B023
        # The first query makes the index.
        list(client.query(kind="Item", order=["-price"]).fetch(limit=1))
        _query(client)
        figures = (
            _TRIES / _seconds(lambda: _put(client, stored)),  # noqa: B023
            _TRIES / _seconds(lambda: _get(client, stored)),  # noqa: B023
            _TRIES / _seconds(lambda: _query(client)),
        )
        row = "".join(f"{figure:>8,.0f}/s" for figure in figures)
        filled = f"{total / steps / filling:>12,.0f}/s"
        print(f"{stored:>10,}{filled}{row}{stack.megabytes():>7,.0f} MB", flush=True)


def tasks(stack: Stack, total: int, steps: int) -> None:
    """Fill a paused queue, letting a few tasks go after each step."""
    print(f"{'tasks':>10}{'create':>14}{'deliver':>12}{'memory':>10}")
    with (
        tasks_server.process(sys.executable, tasks_server.__file__, "work", "{port}") as worker,
        grpc.insecure_channel(stack.variables["CLOUDTASKS_EMULATOR_HOST"]) as channel,
    ):
        client = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        url = f"http://127.0.0.1:{worker}/"
        names = count()

        def create() -> None:
            client.create_task(
                parent=QUEUE,
                task={
                    "name": f"{QUEUE}/tasks/task-{next(names)}",
                    "http_request": {"url": url, "body": b"x" * 200},
                },
            )

        create()  # makes the queue
        arrived(url, 1)
        client.pause_queue(name=QUEUE)
        for step in range(1, steps + 1):
            creating = _seconds(lambda: in_threads(create, total // steps))
            before = arrived(url, 0)
            client.resume_queue(name=QUEUE)
            delivering = _seconds(lambda: arrived(url, before + _DELIVERIES))  # noqa: B023
            client.pause_queue(name=QUEUE)
            figures = f"{total / steps / creating:>12,.0f}/s{_DELIVERIES / delivering:>10,.0f}/s"
            memory = f"{stack.megabytes():>7,.0f} MB"
            print(f"{step * total // steps:>10,}{figures}{memory}", flush=True)


def main() -> None:
    """Fill a stack, and start it again."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--entities", type=int, default=200_000)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with _stack(folder) as stack:
            print(f"empty, ready after {stack.ready:.2f} s")
            entities(stack, arguments.entities, arguments.steps)
            tasks(stack, arguments.tasks, arguments.steps)
        with _stack(folder, signal.SIGKILL) as stack:
            print(f"after a stop, ready after {stack.ready:.2f} s")
            client = _client(stack.variables["DATASTORE_EMULATOR_HOST"])
            assert client.get(client.key("Item", arguments.entities))
        with _stack(folder) as stack:
            print(f"after a kill, ready after {stack.ready:.2f} s, {stack.megabytes():,.0f} MB")


if __name__ == "__main__":
    main()
