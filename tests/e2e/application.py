"""The application of the e2e tests; what runs tells it to a socket on which the tests listen."""

import datetime as dt
import enum
import hashlib
import os
import socket
from pathlib import Path
from typing import Any

from google.cloud import datastore

import adjourn

app = adjourn.App()


def tell(word: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.sendto(word.encode(), os.environ["E2E_EAR"])


@app.deferred
def say(word: str) -> None:
    tell(word)


@app.deferred
def weigh(load: bytes) -> None:
    tell(f"{len(load)} {hashlib.sha256(load).hexdigest()}")


@app.deferred(max_retries=1)
def stumble(word: str) -> None:
    tell(word)
    raise RuntimeError(word)


@app.register
class Size(enum.Enum):
    LARGE = 1


@app.deferred
def moody(path: str, reason: str | Size = "", padding: str = "") -> None:  # noqa: ARG001
    """Succeed once there is a file at `path`."""
    tell("moody")
    if not Path(path).exists():
        raise adjourn.PermanentTaskFailure(reason)


@app.deferred
def wait(door: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as opened:
        opened.bind(door)
        opened.settimeout(30)
        tell("waiting")
        tell(f"{opened.recv(64).decode()} in {os.getpid()}")


@app.deferred(queue="keys")
def show(key: datastore.Key, *, since: dt.datetime) -> None:
    tell(f"{key.path} {since.isoformat()} {os.getpid()}")


@app.periodic(interval=dt.timedelta(), cron_name="bell")
def ring() -> None:
    tell("ring")


@app.query_iter
class Sum(adjourn.QueryIter[datastore.Entity]):
    batch_size = 7
    step_seconds = 0.001

    def handle_entry(self, entry: datastore.Entity, custom_data: Any) -> None:
        custom_data["sum"] += entry["n"]

    def handle_finish(self, total_count: int, custom_data: Any) -> None:
        tell(f"{total_count} entities, sum {custom_data['sum']}")
