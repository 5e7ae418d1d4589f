"""Deliveries a second to the deferred function against a bare function on the same server.

    python -m bench.dispatch [deliveries]

Both run under functions-framework in processes of their own; the deferred function verifies the
token of each delivery, decodes the envelope, runs a trivial task and answers. Rounds alternate;
once all deliveries carry the same token, as from the laptop stack, and once each has one of its
own. Which of it the real service does is documented nowhere.
"""

import asyncio
import datetime as dt
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
from aiohttp import web

from adjourn.serialization.codec import Codec
from adjourn.serialization.envelope import Envelope
from adjourn_local.runtime.loop import LoopThread
from adjourn_local.timing.clocks import MachineClock
from adjourn_local.tokens.issuer import TokenIssuer
from bench.imports import APP, ENVIRONMENT, HELLO, ROOT
from bench.tasks_server import free_port

_CONCURRENT = 16
_ROUNDS = 15  # short ones: the best of each is then what a quiet machine does
# More than the verifier remembers, so that in turn each token is new to it.
CALLERS = [f"tasks-{n}@bench.iam.gserviceaccount.com" for n in range(600)]
HEADERS = {
    "Content-Type": "application/json",
    "X-CloudTasks-QueueName": "default",
    "X-CloudTasks-TaskName": "85770091340881016951",
    "X-CloudTasks-TaskRetryCount": "0",
    "X-CloudTasks-TaskExecutionCount": "0",
}


def main(deliveries: int) -> None:
    """Print the table."""
    issuer = TokenIssuer(MachineClock())
    with LoopThread() as loop, tempfile.TemporaryDirectory() as name:
        folder, keys = Path(name), loop.run(serve_keys(issuer))
        (folder / "main.py").write_text(HELLO)
        (folder / "bench_app.py").write_text(APP)
        tokens = [issuer.mint(email, ENVIRONMENT["ADJOURN_DEFERRED_URL"]) for email in CALLERS]
        body = call_body()
        with (
            _function("hello", folder / "main.py", folder, keys) as hello,
            _function("deferred", ROOT / "functions/deferred/main.py", folder, keys) as deferred,
        ):
            ports = {"hello": hello, "deferred": deferred, "deferred, new tokens": deferred}
            rates: dict[str, list[float]] = {target: [] for target in ports}
            for _ in range(_ROUNDS):
                for target, port in ports.items():
                    url = f"http://127.0.0.1:{port}/bench_app.task"
                    some = tokens if target == "deferred, new tokens" else tokens[:1]
                    rates[target].append(asyncio.run(_rate(url, some, body, deliveries)))
    best = {target: max(values) for target, values in rates.items()}
    for target, values in rates.items():
        ratio = best[target] / best["hello"]
        median = statistics.median(values)
        print(f"{target:<22}best {best[target]:>7.0f}/s  median {median:>7.0f}/s  {ratio:.2f}x")


def call_body() -> bytes:
    """Return the body of a call of the trivial task."""
    call = Envelope(id="7f3a", task="bench_app.task", enqueued_at=dt.datetime.now(dt.UTC))
    return call.encode(Codec())


async def serve_keys(issuer: TokenIssuer) -> str:
    """Publish the keys of an issuer and return their URL."""
    application = web.Application()
    application.add_routes(issuer.routes())
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return f"http://127.0.0.1:{port}/oauth2/v1/certs"


@contextmanager
def _function(target: str, source: Path, folder: Path, keys: str) -> Iterator[int]:
    port = free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "functions_framework", "--target", target),
            *("--source", str(source), "--host", "127.0.0.1", "--port", str(port)),
        ],
        env={
            **os.environ,
            **ENVIRONMENT,
            "ADJOURN_CALLERS": ",".join(CALLERS),
            "ADJOURN_KEYS_URL": keys,
            "PYTHONPATH": str(folder),
        },
    )
    try:
        yield port
    finally:
        process.terminate()
        process.wait(15)


async def _rate(url: str, tokens: list[str], body: bytes, deliveries: int) -> float:
    left = itertools.islice(itertools.cycle(tokens), deliveries)

    async def deliver(session: aiohttp.ClientSession) -> None:
        for token in left:
            said = {**HEADERS, "Authorization": f"Bearer {token}"}
            async with session.post(url, headers=said, data=body) as answer:
                await answer.read()
                if answer.status not in {200, 204}:
                    raise SystemExit(f"{url} answered {answer.status}")

    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=1)
    async with aiohttp.ClientSession(connector=connector) as session:
        await _ready(session, url)
        began = time.perf_counter()
        await asyncio.gather(*(deliver(session) for _ in range(_CONCURRENT)))
        return deliveries / (time.perf_counter() - began)


async def _ready(session: aiohttp.ClientSession, url: str) -> None:
    for _ in range(500):
        try:
            async with session.get(url):
                return
        except aiohttp.ClientConnectionError:
            await asyncio.sleep(0.02)
    raise SystemExit(f"{url} does not answer")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 700)
