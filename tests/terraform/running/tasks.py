"""The application that is deployed and then run as Cloud Run runs it."""

import asyncio
import datetime as dt
import functools
import logging
import os
import socket
import threading
from pathlib import Path
from typing import Any

from google.cloud import datastore

import adjourn
from adjourn.log import event

app = adjourn.App()


def tell(*words: object) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.sendto(" ".join(map(str, words)).encode(), os.environ["E2E_EAR"])


@app.deferred
def log_events(events: list[tuple[str, str]]) -> None:
    """Log each event with its severity."""
    for name, severity in events:
        event(name, logging.getLevelNamesMapping()[severity], f"the event {name}")
    tell("logged")


@app.deferred
def chat() -> None:
    """Print and log as applications do."""
    print("printed")  # noqa: T201
    print('{"message": "structured", "severity": "NOTICE"}')  # noqa: T201
    logging.getLogger("shop").warning("logged %s", "by the shop")
    tell("chatted")


@app.deferred(max_retries=0)
def fail() -> None:
    raise ValueError("broken")


@app.deferred
def meet(count: int) -> None:
    """Go on when so many calls are in this process at a time."""
    _room(count).wait(20)
    tell("met")


@app.deferred
async def gather(count: int) -> None:
    """Go on when so many calls wait on the loop of this process at a time."""
    door, waiting = _hall()
    waiting.append(count)
    if len(waiting) == count:
        door.set()
    async with asyncio.timeout(20):
        await door.wait()
    tell("gathered")


@functools.cache
def _hall() -> tuple[asyncio.Event, list[int]]:
    return asyncio.Event(), []


@functools.cache
def _room(count: int) -> threading.Barrier:
    return threading.Barrier(count)


@app.deferred
def linger(door: str) -> None:
    """Run until somebody opens the door, a named pipe."""
    tell("begun")
    Path(door).read_text(encoding="utf-8")
    tell("ended")


@app.periodic(interval=dt.timedelta(), cron_name="noon")
def strike() -> None:
    tell("ring")


@app.query_iter
class Count(adjourn.QueryIter[datastore.Entity]):
    def handle_entry(self, entry: datastore.Entity, custom_data: Any) -> None:
        custom_data["sum"] += entry["n"]

    def handle_finish(self, total_count: int, custom_data: Any) -> None:
        tell(f"{total_count} things, sum {custom_data['sum']}")
