"""Measure the embedded Cloud Tasks server against a no-op gRPC server and gcloud-tasks-emulator.

    python -m bench.tasks_server [--rounds 3] [--peer PATH/TO/gcloud-tasks-emulator]

Google's own client creates the tasks in this process, the server runs in a second and the worker
in a third. First 2,000 tasks are created by 8 threads while they are dispatched; then a paused
queue is filled with 2,000 and resumed. Without `--peer` the other emulator is installed into a
virtual environment that is thrown away afterwards. Rounds are interleaved, the median is shown.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport
from google.cloud.tasks_v2.types import cloudtasks

from adjourn_local.checkpoints import Checkpointer
from adjourn_local.http import rpc
from adjourn_local.http.grpc_server import GrpcServer
from adjourn_local.http.sender import Sender
from adjourn_local.tasks import Mint, TasksOptions, TasksServer
from adjourn_local.timing.clocks import MachineClock

LOCATION = "projects/bench/locations/europe-west1"
QUEUE = f"{LOCATION}/queues/bench"
CREATES = 1000
TASKS = 2000
THREADS = 8
FIELDS = ("sequential", "threaded", "end_to_end", "waiting")
PEER = "gcloud-tasks-emulator==0.6.2"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Something that serves CreateTask."""

    label: str
    command: Sequence[str]
    dispatches: bool = True
    token: bool = False


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What one round measured, in tasks a second."""

    sequential: float
    threaded: float
    end_to_end: float | None
    waiting: float | None


def signer() -> Mint:
    """Return a function that signs a new RS256 token with a 2048-bit key for each call."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def part(value: Mapping[str, Any]) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    def signed(email: str, audience: str) -> str:
        now = int(time.time())
        claims = {"aud": audience, "email": email, "iat": now, "exp": now + 3600}
        signed = part({"alg": "RS256", "typ": "JWT"}) + b"." + part(claims)
        signature = key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()

    async def mint(email: str, audience: str) -> str:
        return await asyncio.get_running_loop().run_in_executor(pool, signed, email, audience)

    pool = ThreadPoolExecutor(os.cpu_count())
    return mint


async def serve(port: int, *, limits: bool) -> None:
    """Run the server that is measured until this process is told to end."""
    clock = MachineClock()
    sender = Sender(clock)
    with tempfile.TemporaryDirectory() as folder:
        server = TasksServer(
            Path(folder) / "state.db", clock, signer(), sender, TasksOptions(limits=limits)
        )
        checkpointer = Checkpointer(Path(folder) / "state.db")
        server.ensure_queue(QUEUE)
        async with listening(port, *server.grpc_services()):
            await server.start()
            await told_to_end()
        await server.stop()
        await sender.close()
        checkpointer.close()


async def serve_nothing(port: int) -> None:
    """Run a server of our kind that does nothing: the floor of it."""
    async with listening(port, nothing()):
        await told_to_end()


async def serve_nothing_elsewhere(port: int) -> None:
    """Run a `grpc.aio` server that does nothing."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([nothing()])
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await told_to_end()
    await server.stop(None)


def nothing() -> grpc.GenericRpcHandler:
    """Return a service that answers CreateTask with the request's task."""

    async def create(request: Any) -> Any:
        return request.task

    def keep(request: Any) -> Any:
        return tasks_v2.Queue.pb()(name=request.name)

    methods: dict[str, tuple[type, rpc.Handler]] = {
        "CreateTask": (cloudtasks.CreateTaskRequest.pb(), create),
        "PauseQueue": (cloudtasks.PauseQueueRequest.pb(), keep),
    }
    return rpc.service("google.cloud.tasks.v2.CloudTasks", methods)


@contextlib.asynccontextmanager
async def listening(port: int, *services: grpc.GenericRpcHandler) -> Any:
    """Serve gRPC on a port."""
    server = GrpcServer(services)
    await server.listen("127.0.0.1", port)
    yield
    await server.stop()


async def told_to_end() -> None:
    """Return when this process is asked to terminate."""
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    await told.wait()


class Worker(asyncio.Protocol):
    """The cheapest HTTP server that can be: a GET returns how many POSTs there were."""

    received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with nothing."""
        self.transport: Any = transport
        self.data = b""

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self.data += data
        while (end := self.data.find(b"\r\n\r\n")) >= 0:
            head = self.data[:end].lower()
            _, _, rest = head.partition(b"content-length:")
            end += 4 + int(rest.partition(b"\r\n")[0] or 0)
            if len(self.data) < end:
                return
            self.data = self.data[end:]
            Worker.received += head.startswith(b"post")
            body = b"%d" % Worker.received if head.startswith(b"get") else b""
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
            )


async def work(port: int) -> None:
    """Run the worker."""
    loop = asyncio.get_running_loop()
    await loop.create_server(Worker, "127.0.0.1", port)
    await told_to_end()


def free_port() -> int:
    """Return a port that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def process(*command: str) -> Iterator[int]:
    """Run a command, in which {port} stands for the free port it is given, and yield the port."""
    port = free_port()
    filled = [part.format(port=port) for part in command]
    child = subprocess.Popen(filled, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield port
    finally:
        child.terminate()
        child.wait(10)


def measure(subject: Subject) -> Figures:
    """Measure one server in one fresh process, beside one fresh worker."""
    with (
        process(sys.executable, __file__, "work", "{port}") as worker,
        process(*subject.command) as port,
        grpc.insecure_channel(f"localhost:{port}") as channel,
    ):
        grpc.channel_ready_future(channel).result(30)
        client = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        url = f"http://127.0.0.1:{worker}/"
        request: dict[str, Any] = {
            "url": url,
            "http_method": "POST",
            "headers": {"Content-Type": "application/json"},
            "body": b"x" * 200,
        }
        if subject.token:
            request["oidc_token"] = {"service_account_email": "bench@bench", "audience": url}

        def create() -> None:
            client.create_task(parent=QUEUE, task={"http_request": request})

        end_to_end = waiting = None
        if subject.dispatches:
            for _ in range(20):
                create()
            arrived(url, 20)
            started = time.perf_counter()
            in_threads(create, TASKS)
            arrived(url, 20 + TASKS)
            end_to_end = TASKS / (time.perf_counter() - started)
        client.pause_queue(name=QUEUE)
        sequential = rate(CREATES, lambda: [create() for _ in range(CREATES)])
        threaded = rate(CREATES, lambda: in_threads(create, CREATES))
        if subject.dispatches:
            started = time.perf_counter()
            client.resume_queue(name=QUEUE)
            arrived(url, 20 + TASKS + 2 * CREATES)
            waiting = 2 * CREATES / (time.perf_counter() - started)
        return Figures(
            sequential=sequential, threaded=threaded, end_to_end=end_to_end, waiting=waiting
        )


def rate(count: int, action: Callable[[], object]) -> float:
    """Return how many a second an action does that does `count`."""
    started = time.perf_counter()
    action()
    return count / (time.perf_counter() - started)


def in_threads(action: Callable[[], None], count: int) -> None:
    """Do an action `count` times from several threads."""
    threads = [
        threading.Thread(target=lambda: [action() for _ in range(count // THREADS)])
        for _ in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def arrived(url: str, count: int) -> int:
    """Wait until the worker has had so many requests, and return how many it has had."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with contextlib.suppress(OSError), urllib.request.urlopen(url) as answer:
            received = int(answer.read())
            if received >= count:
                return received
        time.sleep(0.01)
    raise TimeoutError(f"fewer than {count} of the tasks arrived within a minute")


def install(folder: Path) -> Path | None:
    """Install the other emulator and return its command, or None if it cannot be had."""
    venv.create(folder, with_pip=True)
    done = subprocess.run(
        [str(folder / "bin" / "pip"), "install", "--quiet", PEER], capture_output=True, check=False
    )
    command = folder / "bin" / "gcloud-tasks-emulator"
    return command if done.returncode == 0 and command.exists() else None


def own(label: str, role: str, **fields: Any) -> Subject:
    """Return a server of this file."""
    return Subject(label=label, command=(sys.executable, __file__, role, "{port}"), **fields)


def subjects(peer: Path | None) -> list[Subject]:
    """Return what is compared, the baseline last."""
    found = [
        own("our server, doing nothing (floor)", "nothing", dispatches=False),
        own("grpc.aio server, doing nothing", "elsewhere", dispatches=False),
        own("adjourn, limits off", "unlimited"),
        own("adjourn, limits off, RS256 token each", "unlimited", token=True),
        own("adjourn, limits on (500/s, burst 100)", "limited"),
    ]
    if peer is not None:
        options = ("start", "-q", "-p", "{port}", "-d", QUEUE)
        found.append(Subject(label=PEER.replace("==", " "), command=(str(peer), *options)))
    return found


def compare(peer: Path | None, rounds: int) -> None:
    """Measure everything and print the table; ratios are to the last line."""
    everything = subjects(peer)
    results: dict[str, list[Figures]] = {subject.label: [] for subject in everything}
    for _ in range(rounds):
        for subject in everything:
            results[subject.label].append(measure(subject))
    rows = {
        label: [
            statistics.median(values) if (values := of(figures, field)) else None
            for field in FIELDS
        ]
        for label, figures in results.items()
    }
    base = rows[everything[-1].label] if peer is not None else [None] * len(FIELDS)
    titles = (
        "create/s, 1 thread",
        f"{THREADS} threads",
        "create to arrival/s",
        "waiting to arrival/s",
    )
    print(f"{f'median of {rounds}':38}" + "".join(f"{title:>22}" for title in titles))
    for label, row in rows.items():
        print(f"{label:38}" + "".join(map(cell, row, base)))


def of(figures: Sequence[Figures], field: str) -> list[float]:
    """Return one column of the rounds that have it."""
    return [value for round_ in figures if (value := getattr(round_, field)) is not None]


def cell(value: float | None, base: float | None) -> str:
    """Return a figure and its ratio to the baseline."""
    if value is None:
        return f"{'-':>22}"
    ratio = "" if base is None else f" ({value / base:.2f}x)"
    return f"{value:,.0f}{ratio}".rjust(22)


def main() -> None:
    """Run a server for a measurement, or all measurements."""
    roles: dict[str, Callable[[int], Any]] = {
        "work": work,
        "nothing": serve_nothing,
        "elsewhere": serve_nothing_elsewhere,
        "unlimited": lambda port: serve(port, limits=False),
        "limited": lambda port: serve(port, limits=True),
    }
    if len(sys.argv) == 3 and sys.argv[1] in roles:  # noqa: PLR2004 - role and port
        asyncio.run(roles[sys.argv[1]](int(sys.argv[2])))
        return
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer", type=Path, help="an installed gcloud-tasks-emulator")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        peer = arguments.peer or install(Path(folder))
        if peer is None:
            print(f"SKIPPED: {PEER} could not be installed; there is nothing to compare with.")
        mint = signer()
        signing = rate(500, lambda: [mint("bench@bench", "http://bench") for _ in range(500)])
        print(f"signing one RS256 token: {1e6 / signing:,.0f} microseconds, {os.cpu_count()} cores")
        compare(peer, arguments.rounds)


if __name__ == "__main__":
    main()
