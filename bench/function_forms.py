"""The deferred function under WSGI, as it is deployed, and in functions-framework's ASGI form.

    python -m bench.function_forms [rounds]

The WSGI form has eight threads, or as many as there are calls: Terraform gives it one for each
request that Cloud Run lets in (`concurrency`). The ASGI form is made here of `adjourn.web.asgi`,
which runs coroutines on the server's loop. Each is started anew in each round, in turn; the best of
all rounds counts. Memory and CPU time are those of gunicorn's master and its worker.
"""

import asyncio
import datetime as dt
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp
import psutil

from adjourn.serialization.codec import Codec
from adjourn.serialization.envelope import Envelope
from adjourn_local.runtime.loop import LoopThread
from adjourn_local.timing.clocks import MachineClock
from adjourn_local.tokens.issuer import TokenIssuer
from bench.dispatch import CALLERS, HEADERS, serve_keys
from bench.imports import ENVIRONMENT, ROOT
from bench.tasks_server import free_port

_WAITING, _QUICK, _CONCURRENT = 200, 1000, 8
_URL = "https://deferred.example/_adjourn/deferred"
_APP = """
import asyncio
import adjourn

app = adjourn.App()


@app.deferred
async def wait() -> None:
    await asyncio.sleep(1)


@app.deferred
def end() -> None: ...
"""
_ASGI = """
import functions_framework.aio
import adjourn.web
from adjourn.application.start import start
from bench_app import app

start()
served = adjourn.web.asgi(app)


@functions_framework.aio.http
async def deferred(request):
    messages = []

    async def keep(message):
        messages.append(message)

    async def answer(_scope, _receive, send):
        for message in messages:
            await send(message)

    scope = {**request.scope, "path": "/_adjourn/deferred", "root_path": ""}
    await served(scope, request.receive, keep)
    return answer
"""
_FORMS = {
    "WSGI, 8 threads": ("wsgi", 8),
    f"WSGI, {_WAITING} threads": ("wsgi", _WAITING),
    "ASGI": ("asgi", 8),
}


class Figures(NamedTuple):
    """What one process has shown, each the less the better."""

    waiting: float
    cpu: float
    start: float
    memory: float


def main(rounds: int) -> None:
    """Print the table."""
    issuer = TokenIssuer(MachineClock())
    with LoopThread() as loop, tempfile.TemporaryDirectory() as name:
        folder, keys = Path(name), loop.run(serve_keys(issuer))
        (folder / "bench_app.py").write_text(_APP)
        (folder / "main.py").write_text(_ASGI)
        token = issuer.mint(CALLERS[0], _URL)
        found: dict[str, list[Figures]] = {title: [] for title in _FORMS}
        for _ in range(rounds):
            for title, (form, threads) in _FORMS.items():
                with _function(form, threads, folder, keys) as (process, port):
                    found[title].append(asyncio.run(_measured(process, port, token)))
    print(f"{'':<20}{f'{_WAITING} x 1 s':>12}{'CPU a call':>14}{'CPU to start':>14}{'memory':>10}")
    for title, figures in found.items():
        best = Figures(*map(min, zip(*figures, strict=True)))
        print(
            f"{title:<20}{best.waiting:>10.2f} s{best.cpu * 1e6:>11.0f} us"
            f"{best.start * 1e3:>11.0f} ms{best.memory:>7.0f} MB"
        )


@contextmanager
def _function(
    form: str, threads: int, folder: Path, keys: str
) -> Iterator[tuple[psutil.Process, int]]:
    port = free_port()
    source = folder / "main.py" if form == "asgi" else ROOT / "functions/deferred/main.py"
    command = (sys.executable, "-m", "functions_framework", "--source", str(source))
    told = {"ADJOURN_CALLERS": CALLERS[0], "ADJOURN_KEYS_URL": keys, "ADJOURN_DEFERRED_URL": _URL}
    of_form = {"PYTHONPATH": str(folder), "THREADS": str(threads)}
    process = subprocess.Popen(
        [*command, "--target", "deferred", "--host", "127.0.0.1", "--port", str(port)],
        env={**os.environ, **ENVIRONMENT, **told, **of_form},
    )
    try:
        yield psutil.Process(process.pid), port
    finally:
        process.terminate()
        process.wait(15)


async def _measured(process: psutil.Process, port: int, token: str) -> Figures:
    connector = aiohttp.TCPConnector(limit=0)
    headers = {**HEADERS, "Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        deliver = _Deliveries(session, f"http://127.0.0.1:{port}/")
        await deliver.ready()
        start = _cpu(process)
        began = time.perf_counter()
        await asyncio.gather(*(deliver("wait") for _ in range(_WAITING)))
        waiting = time.perf_counter() - began
        before = _cpu(process)
        for _ in range(_QUICK // _CONCURRENT):
            await asyncio.gather(*(deliver("end") for _ in range(_CONCURRENT)))
        cpu = (_cpu(process) - before) / _QUICK
        return Figures(waiting, cpu, start, _memory(process))


class _Deliveries:
    """Delivers calls to a function."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url
        self._bodies = {name: _body(name) for name in ("wait", "end")}

    async def __call__(self, name: str) -> None:
        async with self._session.post(self._url, data=self._bodies[name]) as answer:
            if answer.status not in {200, 204}:
                raise SystemExit(f"{self._url} answered {answer.status}")

    async def ready(self) -> None:
        """Wait until it answers, and has its keys."""
        give_up = time.monotonic() + 30
        while time.monotonic() < give_up:
            try:
                await self("end")
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.02)
            else:
                return
        raise SystemExit(f"{self._url} does not answer")


def _body(name: str) -> bytes:
    task = f"bench_app.{name}"
    return Envelope(id="7f3a", task=task, enqueued_at=dt.datetime.now(dt.UTC)).encode(Codec())


def _cpu(process: psutil.Process) -> float:
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def _memory(process: psutil.Process) -> float:
    processes = (process, *process.children(recursive=True))
    return float(sum(each.memory_full_info().uss for each in processes) / 1e6)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
