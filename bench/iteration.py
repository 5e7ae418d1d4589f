"""Walks over entities of Datastore: the ancestor's chain of tasks, and adjourn's runs.

    python -m bench.iteration [entities]

One laptop stack for all of it, without dispatch limits; the server counts what it is asked for.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.cloud import datastore
from google.cloud.tasks_v2 import CloudTasksClient

from adjourn import QueryIter
from adjourn_local.runtime.addresses import LOCATION, PROJECT, QUEUE
from adjourn_local.runtime.servers import ServerOptions
from adjourn_local.runtime.stack import Stack, running
from adjourn_local.tasks.options import TasksOptions
from bench import chain, walks
from bench.tasks_server import free_port

_ROUNDS = 3
_COMMIT = 500
_WAITING = 2_000
_PATIENCE = 600
_START = 30
_MILLION = 1_000_000
# For 100,000 reads, writes and deletes of Datastore in one of the cheaper regions, and a million
# operations of Cloud Tasks; see docs/operations.md.
_PRICES = {"reads": 0.03e-5, "writes": 0.09e-5, "deletes": 0.01e-5, "task operations": 0.40e-6}


@dataclass(eq=False)
class Counting(grpc.GenericRpcHandler):
    """Counts calls, and what the services bill for."""

    inner: grpc.GenericRpcHandler
    counts: Counter[str]

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Return the handler of a call, which counts."""
        handler: Any = self.inner.service(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method.rsplit("/", 1)[1]

        async def counted(request: Any, context: Any) -> Any:
            response = await handler.unary_unary(request, context)
            self.count(method, request, response)
            return response

        return grpc.unary_unary_rpc_method_handler(
            counted, handler.request_deserializer, handler.response_serializer
        )

    def count(self, method: str, request: Any, response: Any) -> None:
        """Count one call."""
        self.counts[method] += 1
        if method == "Lookup":
            self.counts["reads"] += len(request.keys)
        elif method == "RunQuery":
            query = request.query
            is_keys_only = [each.property.name for each in query.projection] == ["__key__"]
            self.counts["reads"] += 1 if is_keys_only else len(response.batch.entity_results)
        elif method == "RunAggregationQuery":
            (result,) = response.batch.aggregation_results
            counted = result.aggregate_properties["n"].integer_value
            self.counts["reads"] += max(1, -(-counted // 1000))
        elif method == "Commit":
            for mutation in request.mutations:
                is_delete = mutation.WhichOneof("operation") == "delete"
                self.counts["deletes" if is_delete else "writes"] += 1
        elif method in {"CreateTask", "BatchCreateTasks"}:
            self.counts["tasks"] += 1 if method == "CreateTask" else len(request.requests)


class CountedStack(Stack):
    """A laptop stack that counts what it is asked for."""

    counts: Counter[str]

    def _grpc_services(self) -> Sequence[grpc.GenericRpcHandler]:
        self.counts = Counter()
        return [Counting(each, self.counts) for each in super()._grpc_services()]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a walk took."""

    seconds: float
    counts: Counter[str]


@dataclass(kw_only=True)
class Bench:
    """A running stack, and an ear for what the walks tell."""

    stack: CountedStack
    ear: socket.socket
    client: datastore.Client = field(default_factory=datastore.Client)

    def fill(self, kind: str, number: int) -> None:
        """Make entities."""
        for start in range(1, number + 1, _COMMIT):
            batch = []
            for n in range(start, min(start + _COMMIT, number + 1)):
                entity = datastore.Entity(self.client.key(kind, n))
                entity.update({"n": n, "title": f"Item {n}", "price": n % 1000 / 10})
                batch.append(entity)
            self.client.put_multi(batch)

    def measure(self, number: int, begin: Callable[[], object]) -> Result:
        """Begin a walk and wait for its end."""
        self.stack.counts.clear()
        began = time.perf_counter()
        begin()
        told = int(self.ear.recv(16))
        seconds = time.perf_counter() - began
        if told != number:
            raise SystemExit(f"{told} entities were handled, not {number}")
        return Result(seconds=seconds, counts=Counter(self.stack.counts))

    def walk(self, cls: type[QueryIter[Any]], kind: str, number: int, shards: int = 1) -> Result:
        """Let one of our runs walk over a kind."""
        query = self.client.query(kind=kind)
        return self.measure(number, lambda: cls.start(query, shards=shards))


def main(number: int) -> None:
    """Print all tables."""
    with _bench() as bench:
        bench.fill("Warm", 100)
        for _ in range(2):
            bench.walk(walks.Trivial, "Warm", 100)
            bench.measure(100, lambda: chain.enqueue({"kind": "Warm", "cursor": "", "done": 0}))
        bench.fill("Item", number)
        _against_the_chain(bench, number)
        _in_shards(bench)
        _in_bulk(bench, number)


def _against_the_chain(bench: Bench, number: int) -> None:
    begin = {"kind": "Item", "cursor": "", "done": 0}
    subjects: Mapping[str, Callable[[], Result]] = {
        "chain, 5 a task": lambda: bench.measure(number, lambda: chain.enqueue(begin)),
        "adjourn": lambda: bench.walk(walks.Trivial, "Item", number),
        "adjourn, 8 shards": lambda: bench.walk(walks.Trivial, "Item", number, shards=8),
    }
    rounds = [{name: measure() for name, measure in subjects.items()} for _ in range(_ROUNDS)]
    results = {name: min((each[name] for each in rounds), key=_seconds) for name in subjects}
    theirs = results["chain, 5 a task"]
    print(f"{number:,} entities, nothing to do with each")
    print(f"{'':<20}{'tasks':>8}{'seconds':>10}{'tasks':>10}{'speed':>9}")
    for title, result in results.items():
        fewer = theirs.counts["tasks"] / result.counts["tasks"]
        faster = theirs.seconds / result.seconds
        print(
            f"{title:<20}{result.counts['tasks']:>8}{result.seconds:>10.2f}"
            f"{fewer:>9.0f}x{faster:>8.1f}x"
        )
    _for_a_million(results, number)


def _seconds(result: Result) -> float:
    return result.seconds


def _for_a_million(results: Mapping[str, Result], number: int) -> None:
    """Print what a million entities take, which is what these took many times."""
    print("\nfor a million entities, counted by the server and multiplied")
    print(f"{'':<20}" + "".join(f"{title:>20}" for title in results))
    for name in ("RunQuery", "RunAggregationQuery", "Lookup", "Commit", "tasks"):
        cells = (f"{r.counts[name] * _MILLION / number:>20,.0f}" for r in results.values())
        print(f"{name:<20}" + "".join(cells))
    totals = dict.fromkeys(results, 0.0)
    for name, price in _PRICES.items():
        cells = []
        for title, result in results.items():
            # A task is an operation when it is created, and one when it is attempted.
            counted = 2 * result.counts["tasks"] if "task" in name else result.counts[name]
            totals[title] += price * counted * _MILLION / number
            cells.append(f"{counted * _MILLION / number:>20,.0f}")
        print(f"{name:<20}" + "".join(cells))
    print(f"{'dollars':<20}" + "".join(f"{dollars:>20.2f}" for dollars in totals.values()))


def _in_shards(bench: Bench) -> None:
    bench.fill("Few", _WAITING)
    print(f"\n{_WAITING:,} entities, 5 ms to wait with each")
    one = None
    for shards in (1, 2, 4, 8):
        rounds = (bench.walk(walks.Waiting, "Few", _WAITING, shards=shards) for _ in range(2))
        seconds = min(map(_seconds, rounds))
        one = one or seconds
        print(f"{shards} shards{seconds:>12.2f} s{one / seconds:>8.1f}x")


def _in_bulk(bench: Bench, number: int) -> None:
    """Print what it takes to update and to delete all entities."""
    pairs = {
        "updated": (walks.UpdateSingly, walks.Update),
        "deleted": (walks.DeleteSingly, walks.Delete),
    }
    for title, (singly, bulk) in pairs.items():
        print(f"\n{number:,} entities {title}")
        one = bench.walk(singly, "Item", number)
        bench.fill("Item", number)
        _show("one by one", one, one)
        for shards in (1, 8):
            result = bench.walk(bulk, "Item", number, shards=shards)
            _show(f"in bulk, {shards} shards", result, one)
            bench.fill("Item", number)


def _show(title: str, result: Result, one: Result) -> None:
    ratio = one.seconds / result.seconds
    calls = sum(
        result.counts[name] for name in ("Lookup", "RunQuery", "BeginTransaction", "Commit")
    )
    print(f"{title:<20}{result.seconds:>10.2f} s{ratio:>8.1f}x{calls:>10,} calls")


@contextmanager
def _bench() -> Iterator[Bench]:
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear,
    ):
        path = Path(folder) / "ear"
        ear.bind(str(path))
        ear.settimeout(_PATIENCE)
        os.environ["BENCH_EAR"] = str(path)
        stack = CountedStack(
            "bench.walks:app", servers=ServerOptions(tasks=TasksOptions(limits=False))
        )
        port = free_port()
        os.environ |= stack.environment()
        os.environ["BENCH_CHAIN"] = f"http://127.0.0.1:{port}/"
        os.environ["BENCH_QUEUE"] = CloudTasksClient.queue_path(PROJECT, LOCATION, QUEUE)
        with running(stack), _chain(port):
            yield Bench(stack=stack, ear=ear)


@contextmanager
def _chain(port: int) -> Iterator[None]:
    source = str(Path(__file__).with_name("chain.py"))
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "functions_framework", "--source", source),
            *("--target", "step", "--host", "127.0.0.1", "--port", str(port)),
        ],
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        stderr=subprocess.DEVNULL,
    )
    try:
        _await(port)
        yield
    finally:
        process.terminate()
        process.wait(10)


def _await(port: int) -> None:
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise SystemExit("the chain's function did not start")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
