"""How long 200 calls take that each wait a second, in one process: `async def` against `def`.

    python -m bench.async_calls [rounds]

`adjourn up --serve` calls one process of uvicorn with `adjourn.web.asgi`, and one of gunicorn with
`adjourn.web.wsgi` and eight threads, as many as the functions have on two CPUs. The queue is
paused until all calls are enqueued; the time is that from its resumption until all have told that
they are done.
"""

import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from google.cloud.tasks_v2 import CloudTasksClient

import adjourn
from adjourn.gcp.cloudtasks import CloudTaskQueue
from adjourn_local.runtime.ports import find_free
from bench.laptop import Laptop, laptop

_CALLS = 200
_APP = """
import asyncio, os, socket, time
import adjourn, adjourn.web

ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
app = adjourn.App()


@app.deferred(name="bench_app.later")
async def later(number: int) -> None:
    await asyncio.sleep(1)
    ear.sendto(b"done", os.environ["BENCH_EAR"])


@app.deferred(name="bench_app.sleepy")
def sleepy(number: int) -> None:
    time.sleep(1)
    ear.sendto(b"done", os.environ["BENCH_EAR"])


asgi = adjourn.web.asgi(app)
wsgi = adjourn.web.wsgi(app)
"""
_SERVERS = {
    "asgi": ("uvicorn", "--log-level", "warning", "--port", "{port}", "web_app:asgi"),
    "wsgi": ("gunicorn", "--threads", "8", "-b", "127.0.0.1:{port}", "web_app:wsgi"),
}
_ROWS = (
    ("asgi", "later", "ASGI, async def"),
    ("asgi", "sleepy", "ASGI, def"),
    ("wsgi", "later", "WSGI, 8 threads, async def"),
    ("wsgi", "sleepy", "WSGI, 8 threads, def"),
)


def main(rounds: int) -> None:
    """Print the table."""
    print(f"{f'{_CALLS} calls of a second':<28}{'best':>9}{'median':>9}")
    for server, name, title in _ROWS:
        took = [_measure(server, name) for _ in range(rounds if server == "asgi" else 1)]
        print(f"{title:<28}{min(took):>7.2f} s{statistics.median(took):>7.2f} s", flush=True)


def _measure(server: str, name: str) -> float:
    (port,) = find_free(1)
    with (
        laptop("--memory", "--serve", f"http://127.0.0.1:{port}") as stack,
        _serving(server, port, stack),
    ):
        return asyncio.run(_timed(stack, name))


async def _timed(stack: Laptop, name: str) -> float:
    client: CloudTasksClient = CloudTaskQueue(stack.settings).client()
    queue = client.queue_path(stack.settings.project, stack.settings.location, stack.settings.queue)
    client.pause_queue(name=queue)
    task = adjourn.App(stack.settings).deferred(name=f"bench_app.{name}")(_anything)
    new = [each async for each in task.amap(range(_CALLS))]
    if not all(isinstance(each, adjourn.TaskHandle) for each in new):
        raise SystemExit("not all calls were enqueued")
    client.resume_queue(name=queue)
    began = time.perf_counter()
    stack.hear(_CALLS)
    return time.perf_counter() - began


def _anything(number: int) -> None:
    """Stand in for the task of the server."""


@contextmanager
def _serving(server: str, port: int, stack: Laptop) -> Iterator[None]:
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "web_app.py").write_text(_APP)
        command = [word.format(port=port) for word in _SERVERS[server]]
        environment = {**os.environ, **stack.variables, "BENCH_EAR": stack.ear.getsockname()}
        process = subprocess.Popen([sys.executable, "-m", *command], cwd=name, env=environment)
        try:
            while not _answers(port):
                time.sleep(0.05)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/", timeout=5).status_code == 404  # noqa: PLR2004
    except requests.ConnectionError:
        return False


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
