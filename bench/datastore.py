"""Measure our Datastore server beside Google's emulator: same client, same run, taking turns.

The floor is a server of the same protocol with ready answers: what it takes is the client's and the
protocol's, not the server's.

Usage: python -m bench.datastore [--rounds 2] [--only NAME]
"""

import argparse
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from google.cloud import datastore
from google.cloud.datastore.query import PropertyFilter

_SINGLE = 400
_THREADS = 8
_BATCH = 500
_STORE = 5000
_START_SECONDS = 30.0
# The Java server reaches its speed only after some thousand calls of a kind.
_WARM_UP = 4

Measure = Callable[[datastore.Client], float]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")


@contextmanager
def _process(command: list[str], port: int) -> Iterator[str]:
    """Run a server in a process group of its own, so that its children end with it."""
    process = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _await_port(port, process)
        yield f"127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


@contextmanager
def _announced(name: str, command: list[str], port: int) -> Iterator[str]:
    started = time.perf_counter()
    with _process(command, port) as address:
        print(f"{name} is ready after {time.perf_counter() - started:.2f} s")
        yield address


def _ours(folder: str, *options: str) -> tuple[list[str], int]:
    port = _free_port()
    return [sys.executable, "-m", "bench.datastore_server", f"{port}", folder, *options], port


def _google() -> tuple[list[str], int]:
    port = _free_port()
    return [
        "gcloud",
        *("emulators", "firestore", "start"),
        "--database-mode=datastore-mode",
        f"--host-port=127.0.0.1:{port}",
    ], port


def _entity(client: datastore.Client, kind: str, number: int) -> datastore.Entity:
    entity = datastore.Entity(client.key(kind, number + 1))
    entity.update(
        {
            "title": f"Item {number}",
            "group": number % 50,
            "price": number * 7 % 1000 / 10,
            "stock": number * 13 % 997,
            "active": number % 3 == 0,
            "tags": ["a", f"t{number % 20}"],
        }
    )
    return entity


def _rate(count: int, work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)


def _threads(work: Callable[[int], object]) -> None:
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(work, range(_SINGLE)))


def _changed(client: datastore.Client) -> list[datastore.Entity]:
    """Return entities that differ from what is stored, else nothing would be written."""
    entities = [_entity(client, "Put", n) for n in range(_SINGLE)]
    for entity in entities:
        entity["changed"] = time.time()
    return entities


def put(client: datastore.Client) -> float:
    """Put one entity after another."""
    entities = _changed(client)
    return _rate(_SINGLE, lambda: [client.put(entity) for entity in entities])


def get(client: datastore.Client) -> float:
    """Get one entity after another."""
    keys = [client.key("Item", n + 1) for n in range(_SINGLE)]
    return _rate(_SINGLE, lambda: [client.get(key) for key in keys])


def put_8(client: datastore.Client) -> float:
    """Put single entities from eight threads."""
    entities = _changed(client)
    return _rate(_SINGLE, lambda: _threads(lambda n: client.put(entities[n])))


def get_8(client: datastore.Client) -> float:
    """Get single entities from eight threads."""
    keys = [client.key("Item", n + 1) for n in range(_SINGLE)]
    return _rate(_SINGLE, lambda: _threads(lambda n: client.get(keys[n])))


def put_multi(client: datastore.Client) -> float:
    """Put 500 new entities in one commit, and delete them afterwards."""
    entities = [_entity(client, "Many", n) for n in range(_BATCH)]
    rate = _rate(_BATCH, lambda: client.put_multi(entities))
    client.delete_multi([entity.key for entity in entities])
    return rate


def get_multi(client: datastore.Client) -> float:
    """Get 500 entities in one lookup."""
    keys = [client.key("Item", n + 1) for n in range(_BATCH)]
    return _rate(_BATCH, lambda: client.get_multi(keys))


def query(client: datastore.Client) -> float:
    """Run a query with an equality, an order on another property and limit 20."""

    def one(group: int) -> None:
        found = client.query(kind="Item", order=["-price"])
        found.add_filter(filter=PropertyFilter("group", "=", group % 50))
        if len(list(found.fetch(limit=20))) != 20:  # noqa: PLR2004 - the limit just above
            raise AssertionError("the query must find 20 entities")

    one(0)
    return _rate(20, lambda: [one(n) for n in range(20)])


def scan(client: datastore.Client) -> float:
    """Read every entity of a kind."""
    return _rate(_STORE, lambda: list(client.query(kind="Item").fetch()))


def count(client: datastore.Client) -> float:
    """Count the entities of one group."""
    found = client.query(kind="Item")
    found.add_filter(filter=PropertyFilter("group", "=", 7))
    counting = client.aggregation_query(found).count()
    return _rate(20, lambda: [list(counting.fetch()) for _ in range(20)])


def transaction(client: datastore.Client) -> float:
    """Get and put one entity in a transaction."""

    def one(number: int) -> None:
        with client.transaction():
            entity = client.get(client.key("Item", number + 1))
            entity["stock"] += 1
            client.put(entity)

    return _rate(100, lambda: [one(n) for n in range(100)])


_MEASURES: dict[str, tuple[Measure, str]] = {
    "put": (put, "/s"),
    "get": (get, "/s"),
    "put, 8 threads": (put_8, "/s"),
    "get, 8 threads": (get_8, "/s"),
    "put_multi(500)": (put_multi, "entities/s"),
    "get_multi(500)": (get_multi, "entities/s"),
    "filter + order, limit 20": (query, "/s"),
    "full scan": (scan, "entities/s"),
    "count": (count, "/s"),
    "transaction get + put": (transaction, "/s"),
}


def _client(address: str) -> datastore.Client:
    os.environ["DATASTORE_EMULATOR_HOST"] = address
    return datastore.Client(project="bench")


def _prepare(client: datastore.Client) -> None:
    for start in range(0, _STORE, _BATCH):
        client.put_multi([_entity(client, "Item", n) for n in range(start, start + _BATCH)])
    for _ in range(_WARM_UP):
        for measure, _unit in _MEASURES.values():
            measure(client)


def _compare(servers: dict[str, str], rounds: int, only: str) -> None:
    clients = {name: _client(address) for name, address in servers.items()}
    for client in clients.values():
        _prepare(client)
    others = [name for name in clients if name != "ours"]
    heads = [*clients, *(f"/ {name}" for name in others)]
    print(f"{'':28}" + "".join(f"{head:>12}" for head in heads))
    for label, (measure, unit) in _MEASURES.items():
        if only not in label:
            continue
        rates: dict[str, list[float]] = {name: [] for name in clients}
        for _ in range(rounds):
            for name, client in clients.items():
                rates[name].append(measure(client))
        medians = "".join(f"{statistics.median(found):12,.0f}" for found in rates.values())
        ratios = "".join(f"{_ratio(rates['ours'], rates[name]):11.2f}x" for name in others)
        print(f"{label:28}{medians}{ratios} {unit}")


def _ratio(ours: list[float], other: list[float]) -> float:
    """Return the median of the rounds' ratios: other work slows both of a round down."""
    return statistics.median(one / two for one, two in zip(ours, other, strict=True))


def main() -> None:
    """Run the servers that this machine has and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="measure only what contains this")
    parser.add_argument("--alone", action="store_true", help="leave Google's emulator out")
    options = parser.parse_args()
    with ExitStack() as running:
        servers = {
            name: running.enter_context(_announced(name, *command))
            for name, command in _commands(running, is_alone=options.alone).items()
        }
        _compare(servers, options.rounds, options.only)


def _commands(running: ExitStack, *, is_alone: bool) -> dict[str, tuple[list[str], int]]:
    folders = [running.enter_context(tempfile.TemporaryDirectory()) for _ in range(2)]
    commands = {"ours": _ours(folders[0])}
    if is_alone or not (shutil.which("gcloud") and shutil.which("java")):
        print("without Google's emulator")
    else:
        commands["google"] = _google()
    return {**commands, "floor": _ours(folders[1], "--floor")}


if __name__ == "__main__":
    main()
