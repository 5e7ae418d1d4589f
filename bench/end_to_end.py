"""Tasks executed end to end by the deferred function, tokens signed and verified.

    python -m bench.end_to_end [tasks]

`adjourn up` runs as a process of its own, with default limits and with none. The handler is
trivial: it tells that it ran over a datagram socket. Two figures for each: `live`, from the first
call to the last execution while eight threads enqueue; `drain`, from resuming a paused queue that
already holds all tasks to the last execution.

In the same run, gcloud-tasks-emulator delivers to a bare function of functions-framework that does
the same, without any token. It is installed into a throw-away environment.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from google.cloud.tasks_v2 import CloudTasksClient, HttpRequest, Task
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

import adjourn
from bench.laptop import laptop, tell
from bench.tasks_server import PEER, free_port, install

HELLO = """
import os, socket

ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


def hello(request):
    ear.sendto(b"done", os.environ["BENCH_EAR"])
    return "hello"
"""

_THREADS = 8
_WARM_UP = 50


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Something that runs tasks."""

    host: str
    queue: str
    ear: socket.socket
    call: Callable[[int], object]


def main(tasks: int) -> None:
    """Print the table."""
    print(f"{tasks} tasks{'':<36}{'live':>12}{'drain':>14}")
    for title, options in (
        ("adjourn, default limits", []),
        ("adjourn, no limits", ["--no-limits"]),
    ):
        with _ours(options) as subject:
            _show(title, subject, tasks)
    with tempfile.TemporaryDirectory() as folder:
        peer = install(Path(folder) / "peer")
        if peer is None:
            print(f"SKIPPED: {PEER} could not be installed; there is nothing to compare with.")
            return
        with _peer(peer, Path(folder)) as subject:
            _show("gcloud-tasks-emulator, no tokens", subject, tasks)


def _show(title: str, subject: Subject, tasks: int) -> None:
    with grpc.insecure_channel(subject.host) as channel:
        client = CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        _live(subject, _WARM_UP)
        live = tasks / _live(subject, tasks)
        client.pause_queue(name=subject.queue)
        drain = tasks / _drain(subject, tasks, lambda: client.resume_queue(name=subject.queue))
    print(f"{title:<40}{live:>14.0f}/s{drain:>12.0f}/s")


def _live(subject: Subject, tasks: int) -> float:
    with ThreadPoolExecutor(_THREADS) as pool:
        began = time.perf_counter()
        calls = pool.map(subject.call, range(tasks))
        _hear(subject, tasks)
        took = time.perf_counter() - began
        list(calls)
    return took


def _drain(subject: Subject, tasks: int, resume: Callable[[], object]) -> float:
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(subject.call, range(tasks)))
    began = time.perf_counter()
    resume()
    _hear(subject, tasks)
    return time.perf_counter() - began


def _hear(subject: Subject, times: int) -> None:
    for _ in range(times):
        subject.ear.recv(16)


@contextmanager
def _ours(options: list[str]) -> Iterator[Subject]:
    with laptop("--memory", *options) as stack:
        settings = stack.settings
        yield Subject(
            host=settings.tasks_host,
            queue=CloudTasksClient.queue_path(settings.project, settings.location, settings.queue),
            ear=stack.ear,
            call=adjourn.App(settings).deferred(name="bench_app.tell")(tell),
        )


@contextmanager
def _peer(command: Path, folder: Path) -> Iterator[Subject]:
    queue = CloudTasksClient.queue_path("bench", "europe-west1", "bench")
    port, hello = free_port(), free_port()
    (folder / "main.py").write_text(HELLO)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(folder / "ear"))
        ear.settimeout(60)
        processes = [
            subprocess.Popen(
                each,
                cwd=folder,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "BENCH_EAR": str(folder / "ear")},
            )
            for each in (
                [str(command), "start", "-q", "-p", str(port), "-d", queue],
                [
                    *(sys.executable, "-m", "functions_framework", "--target", "hello"),
                    *("--host", "127.0.0.1", "--port", str(hello)),
                ],
            )
        ]
        try:
            with grpc.insecure_channel(f"localhost:{port}") as channel:
                grpc.channel_ready_future(channel).result(30)
                client = CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
                task = Task(http_request=HttpRequest(url=f"http://127.0.0.1:{hello}/", body=b"x"))
                yield Subject(
                    host=f"localhost:{port}",
                    queue=queue,
                    ear=ear,
                    call=lambda _: client.create_task(parent=queue, task=task),
                )
        finally:
            for process in processes:
                process.terminate()
                process.wait(10)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000)
