"""Measure how long the pages of the console take where much is stored.

    python -m bench.console [--letters 100000] [--tasks 100000] [--runs 1000] [--rounds 9]

A laptop stack is filled with dead letters, waiting tasks and runs; then each page is read over
HTTP. The first reading of each is not counted.
"""

import argparse
import datetime as dt
import os
import re
import statistics
import time
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from itertools import islice
from urllib.parse import quote, urlsplit

import adjourn
from adjourn.execution.dead_letters import GROUP, KEPT, KIND, UNINDEXED, group_of
from adjourn.gcp import google_adapters
from adjourn.gcp.cloudtasks import CloudTaskQueue
from adjourn.iteration.runs import KIND as RUN
from adjourn.iteration.runs import UNINDEXED as RUN_UNINDEXED
from adjourn.iteration.runs import Run
from adjourn.iteration.shards import UNINDEXED as SHARD_UNINDEXED
from adjourn.iteration.shards import Shard
from adjourn.ports import Adapters, Record, RecordKey
from adjourn.settings import Settings
from adjourn_local.clients.queues import Queues
from bench.laptop import laptop

_BATCH = 400
_TASKS = ("shop.mail", "shop.bill", "shop.index", "shop.ship", "shop.report")
_ERRORS = ("ValueError: order {} is paid", "TimeoutError: no answer", "KeyError: 'item {}'")
_SHARDS = 4
_APP = """
import datetime as dt


@app.periodic(interval=dt.timedelta(hours=1))
def sweep() -> None: ...


@app.periodic(cron="*/5 * * * *")
def watch() -> None: ...


@app.periodic(cron="30 3 * * mon-fri", time_zone="Europe/Berlin", cron_name="nightly")
def report() -> None: ...
"""
_LIMIT = 200  # milliseconds


def _letters(adapters: Adapters, number: int) -> Iterator[tuple[RecordKey, Record]]:
    begin = adapters.clock.now() - dt.timedelta(days=30)
    for each in range(number):
        task, error = _TASKS[each % len(_TASKS)], _ERRORS[each % len(_ERRORS)].format(each)
        at = begin + dt.timedelta(seconds=each)
        body = f'{{"v":1,"id":"{each}","task":"{task}","args":[{each}],"kwargs":{{}}}}'
        yield (
            RecordKey(KIND, f"letter-{each:08}"),
            {
                "task": task,
                "queue": "default",
                "attempts": 5,
                "body": body.encode(),
                "error": error,
                "traceback": f"Traceback (most recent call last):\n{error}\n" * 20,
                GROUP: f"{group_of(task, error)} {at.isoformat()}",
                "fingerprint": "",
                "buried_at": at,
                "expires_at": at + KEPT,
            },
        )


def _runs(adapters: Adapters, number: int) -> Iterator[tuple[Run, list[Shard]]]:
    begin = adapters.clock.now() - dt.timedelta(days=7)
    for each in range(number):
        at = begin + dt.timedelta(minutes=each)
        run = Run(
            id=f"run-{each:06}",
            iteration="shop.Reprice",
            queue="default",
            query=b"{}",
            custom_data=b"{}",
            context=b"{}",
            total=1_000_000,
            shards=_SHARDS,
            started_at=at,
            updated_at=at,
            resumed_at=at,
            active=tuple(range(_SHARDS)),
        )
        yield (
            run,
            [Shard(run_id=run.id, number=n, query=b"{}", updated_at=at) for n in range(_SHARDS)],
        )


def _fill(adapters: Adapters, letters: int, tasks: int, runs: int) -> None:
    """Store and enqueue what the pages show."""
    found = _letters(adapters, letters)
    while part := dict(islice(found, _BATCH)):
        adapters.store.put_many(part, unindexed=UNINDEXED)
    for run, shards in _runs(adapters, runs):
        adapters.store.put(RecordKey(RUN, run.id), run.record(), unindexed=RUN_UNINDEXED)
        records = {shard.key: shard.record() for shard in shards}
        adapters.store.put_many(records, unindexed=SHARD_UNINDEXED)
    settings = Settings.from_env(os.environ)
    parent = f"projects/{settings.project}/locations/{settings.location}"
    Queues(client=CloudTaskQueue(settings).client, parent=parent).pause(settings.queue)
    app = adjourn.App()

    @app.deferred(name="bench_app.tell")
    def tell(number: int) -> None: ...

    for _ in tell.imap(range(tasks)):
        pass


class _Console:
    """Reads pages over one connection."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self._connection = HTTPConnection(place.hostname or "", place.port, timeout=120)

    def get(self, path: str) -> tuple[float, str]:
        """Return how long a page took, in milliseconds, and the page."""
        started = time.perf_counter()
        self._connection.request("GET", f"/console{path}")
        response = self._connection.getresponse()
        text = response.read().decode()
        if response.status != 200:  # noqa: PLR2004
            raise SystemExit(f"{path} answers {response.status}: {text}")
        return (time.perf_counter() - started) * 1000, text


def _pages(console: _Console) -> Mapping[str, str]:
    """Return the paths of the pages, and of those behind them, by name."""
    listed = console.get("/dead-letters")[1]
    more = re.search(r'href="(\?after=[^"]+)" rel="next"', listed)
    group = re.search(r"group=([0-9a-f]{32})", listed)
    queue = console.get("/queues/queue/default")[1]
    task = re.search(r'href="/console(/queues/queue/default/[^"]+)"', queue)
    following = re.search(r'href="(\?after=[^"]+)" rel="next"', queue)
    assert more and group and task and following  # noqa: PT018 - it is filled
    return {
        "Now": "/now",
        "Queues": "/queues",
        "a queue": "/queues/queue/default",
        "its next page": f"/queues/queue/default{following[1]}",
        "a task": task[1],
        "Dead letters": "/dead-letters",
        "the next page": f"/dead-letters{more[1]}",
        "of a task": f"/dead-letters?task={quote(_TASKS[0])}",
        "of a group": f"/dead-letters?group={group[1]}",
        "a letter": "/dead-letters/letter/letter-00000000",
        "Iterations": "/iterations",
        "a run": "/iterations/run/run-000000",
        "Periodic": "/periodic",
        "a function": "/periodic/function?name=bench_app.watch",
        "Start a task": "/start",
        "Audit": "/audit",
        "Settings": "/settings",
        "Clock and faults": "/clock",
        "Datastore": "/datastore",
        "a kind": f"/datastore?kind={KIND}",
    }


def main() -> None:
    """Fill a stack and measure its pages."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--letters", type=int, default=100_000)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    with laptop(more=_APP) as stack:
        os.environ.update(stack.variables)
        adapters = google_adapters(stack.settings, None)
        keys = urlsplit(stack.settings.keys_url)
        console = _Console(f"{keys.scheme}://{keys.netloc}")
        # The stack makes an index for the first query that needs it.
        _fill(adapters, 100, 100, 10)
        for path in _pages(console).values():
            console.get(path)
        started = time.perf_counter()
        _fill(adapters, arguments.letters, arguments.tasks, arguments.runs)
        print(f"filled in {time.perf_counter() - started:.0f} s", flush=True)
        print(f"{'page':<18}{'median':>9}{'worst':>9}   cost")
        for name, path in _pages(console).items():
            cost = re.search(r"cost (.*?)\.", console.get(path)[1], re.DOTALL)
            times = [console.get(path)[0] for _ in range(arguments.rounds)]
            shown = re.sub(r"\s+", " ", cost[1]) if cost else ""
            mark = "  too slow" if statistics.median(times) > _LIMIT else ""
            figures = f"{statistics.median(times):>6.0f} ms{max(times):>6.0f} ms"
            print(f"{name:<18}{figures}   {shown}{mark}", flush=True)


if __name__ == "__main__":
    main()
