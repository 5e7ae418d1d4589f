"""What adjourn adds to creating a task, and what `map` saves where a round trip takes 20 ms.

    python -m bench.enqueue [rounds]

`adjourn up` runs as a process of its own, with its queue paused. First single calls through
adjourn and bare `create_task` calls of Google's client with the same request, without a name and
with one, in turn; the median of all rounds counts. Then 10,000 calls with `map` and 200 one by one
through a proxy, another process, that hands everything on 10 ms later in either direction.
"""

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from uuid import uuid4

import grpc
from google.cloud.tasks_v2 import CloudTasksClient, HttpRequest, OidcToken, Task
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

import adjourn
from adjourn.settings import Settings
from bench.laptop import laptop, tell

_CALLS = 300
_ONE_BY_ONE = 200
_MANY = 10_000
_ONE_WAY = 0.01
# As long as the envelope of a call of `tell`.
_BODY = b"x" * 150


def main(rounds: int) -> None:
    """Print the figures."""
    with laptop("--memory") as stack, grpc.insecure_channel(stack.settings.tasks_host) as channel:
        client = CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        queue = CloudTasksClient.queue_path(
            stack.settings.project, stack.settings.location, stack.settings.queue
        )
        client.pause_queue(name=queue)
        single: dict[str, Callable[[int], object]] = {
            "create_task": lambda _: _create(client, queue, stack.settings),
            "create_task, named": lambda _: _create(client, queue, stack.settings, uuid4().hex),
            "adjourn": adjourn.App(stack.settings).deferred(name="bench_app.tell")(tell),
        }
        _compare_single(single, rounds)
        with _distant(stack.settings.tasks_host) as host:
            _compare_many(replace(stack.settings, tasks_host=host))


def _compare_single(calls: dict[str, Callable[[int], object]], rounds: int) -> None:
    took: dict[str, list[float]] = {title: [] for title in calls}
    for number in range(rounds + 1):
        for title, call in calls.items():
            began = time.perf_counter()
            for each in range(_CALLS):
                call(each)
            if number:  # the first round is for warming up
                took[title].append((time.perf_counter() - began) / _CALLS)
    base = statistics.median(took["create_task"])
    for title, times in took.items():
        median = statistics.median(times)
        print(f"{title:<24}{median * 1e6:>8.0f} us a call{median / base:>8.2f}x")


def _compare_many(settings: Settings) -> None:
    task = adjourn.App(settings).deferred(name="bench_app.tell")(tell)
    task(0)
    began = time.perf_counter()
    for each in range(_ONE_BY_ONE):
        task(each)
    alone = _ONE_BY_ONE / (time.perf_counter() - began)
    began = time.perf_counter()
    new = sum(isinstance(r, adjourn.TaskHandle) and r.is_new for r in task.map(range(_MANY)))
    together = _MANY / (time.perf_counter() - began)
    if new != _MANY:
        raise SystemExit(f"only {new} of {_MANY} calls were enqueued")
    print(f"20 ms away, one by one  {alone:>8.0f} calls/s")
    print(f"20 ms away, map         {together:>8.0f} calls/s {together / alone:>8.0f}x")


def _create(client: CloudTasksClient, queue: str, settings: Settings, name: str = "") -> Task:
    return client.create_task(
        parent=queue,
        task=Task(
            name=f"{queue}/tasks/{name}" if name else None,
            http_request=HttpRequest(
                url=f"{settings.deferred_url}/bench_app.tell",
                headers={"Content-Type": "application/json"},
                body=_BODY,
                oidc_token=OidcToken(
                    service_account_email=settings.service_account, audience=settings.deferred_url
                ),
            ),
        ),
        timeout=20,
    )


@contextmanager
def _distant(address: str) -> Iterator[str]:
    """Yield an address that leads to the given one, 10 ms away."""
    command = [sys.executable, "-m", "bench.enqueue", "proxy", *address.rsplit(":", 1)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield (process.stdout.readline() if process.stdout else "").strip()
        finally:
            process.terminate()


async def _proxy(host: str, port: int) -> None:
    loop = asyncio.get_running_loop()

    async def hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            loop.call_later(_ONE_WAY, writer.write, data)
        loop.call_later(_ONE_WAY, writer.close)

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, port)
        await asyncio.gather(hand_on(reader, back), hand_on(there, writer))

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    name, free = server.sockets[0].getsockname()
    print(f"{name}:{free}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1:2] == ["proxy"]:
        asyncio.run(_proxy(sys.argv[2], int(sys.argv[3])))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
