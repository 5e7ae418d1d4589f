"""Tasks executed end to end by the deferred function, tokens signed and verified.

    python bench/end_to_end.py [tasks]

`adjourn up` runs as a process of its own, with default limits and with none. The handler is
trivial: it tells that it ran over a datagram socket. Two figures for each: `live`, from the first
call to the last execution while eight threads enqueue; `drain`, from resuming a paused queue that
already holds all tasks to the last execution.
"""

import itertools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from google.cloud.tasks_v2 import CloudTasksClient
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

import adjourn
from adjourn.settings import Settings

APP = """
import os, socket
import adjourn

app = adjourn.App()
ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


@app.deferred
def tell(number: int) -> None:
    ear.sendto(b"done", os.environ["BENCH_EAR"])
"""

_THREADS = 8


def main(tasks: int) -> None:
    """Print the table."""
    print(f"{tasks} tasks{'':<18}{'live':>12}{'drain':>14}")
    for title, options in (("default limits", []), ("no limits", ["--no-limits"])):
        with tempfile.TemporaryDirectory() as folder:
            live, drain = _measure(Path(folder), options, tasks)
        print(f"{title:<26}{tasks / live:>8.0f}/s{tasks / drain:>12.0f}/s")


def _measure(folder: Path, options: list[str], tasks: int) -> tuple[float, float]:
    (folder / "bench_app.py").write_text(APP)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(folder / "ear"))
        ear.settimeout(60)
        process = subprocess.Popen(
            [sys.executable, "-m", "adjourn_local", "up", "bench_app:app", "--port", "0", *options],
            cwd=folder,
            env={**os.environ, "BENCH_EAR": str(folder / "ear")},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            settings = _settings(process)
            return _live(settings, ear, tasks), _drain(settings, ear, tasks)
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)


def _live(settings: Settings, ear: socket.socket, tasks: int) -> float:
    tell = adjourn.App(settings).deferred(name="bench_app.tell")(_tell)
    tell(0)
    ear.recv(16)
    began = time.perf_counter()
    with ThreadPoolExecutor(_THREADS) as pool:
        calls = pool.map(tell, range(tasks))
        _hear(ear, tasks)
    took = time.perf_counter() - began
    list(calls)
    return took


def _drain(settings: Settings, ear: socket.socket, tasks: int) -> float:
    channel = grpc.insecure_channel(settings.tasks_host)
    client = CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
    queue = client.queue_path(settings.project, settings.location, settings.queue)
    tell = adjourn.App(settings).deferred(name="bench_app.tell")(_tell)
    client.pause_queue(name=queue)
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(tell, range(tasks)))
    began = time.perf_counter()
    client.resume_queue(name=queue)
    _hear(ear, tasks)
    took = time.perf_counter() - began
    channel.close()
    return took


def _hear(ear: socket.socket, times: int) -> None:
    for _ in itertools.repeat(None, times):
        ear.recv(16)


def _tell(number: int) -> None:
    """Stand in for the task of the same name that the function has."""


def _settings(process: subprocess.Popen[str]) -> Settings:
    variables = {}
    for line in process.stdout or ():
        if line.startswith("  export "):
            name, value = line.removeprefix("  export ").strip().split("=", 1)
            variables[name] = value
        if line.startswith("  export GOOGLE_CLOUD_PROJECT"):
            return Settings.from_env(variables)
    raise SystemExit("adjourn up did not start")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000)
