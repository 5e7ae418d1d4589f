"""The application of the e2e tests; what runs tells it to a socket on which the tests listen."""

import asyncio
import datetime as dt
import enum
import hashlib
import os
import socket
import sys
import time
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pydantic
from google.cloud import datastore

import adjourn
from adjourn.concurrency import is_stopping

HOUR = dt.timedelta(hours=1)

app = adjourn.App()


def tell(word: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.sendto(word.encode(), os.environ["E2E_EAR"])


@app.deferred
def say(word: str) -> None:
    tell(word)


@app.deferred(flow=adjourn.Flow(key="tenant", concurrency=1))
def limited(tenant: str, word: str) -> None:  # noqa: ARG001
    tell(word)


@app.deferred
def load(word: str) -> None:
    """Say a word as a child of a batch, and add another child to it."""
    tell(word)
    if word == "first":
        adjourn.current_batch().add(load, "grown")
    if word == "broken" and not Path(os.environ["E2E_EAR"] + ".mended").exists():
        raise adjourn.PermanentTaskFailure(word)


@app.deferred
def loaded(summary: adjourn.BatchSummary) -> None:
    tell(f"{summary['name']} {summary['done']} {summary['failed']} {summary['cancelled']}")


@app.deferred
async def say_later(word: str) -> None:
    await asyncio.sleep(0)
    await say.adefer(f"{word} from {adjourn.current_task().id}")


@app.deferred
def imported(*modules: str) -> None:
    tell(f"imported: {[name for name in modules if name in sys.modules] or 'none'}")


@app.deferred
def weigh(load: bytes) -> None:
    tell(f"{len(load)} {hashlib.sha256(load).hexdigest()}")


@app.deferred(keep_result=HOUR, max_retries=0, once=True)
async def total(*prices: Decimal) -> dict[str, Decimal]:
    await asyncio.sleep(0)
    return {"total": sum(prices, Decimal()), "mean": sum(prices, Decimal()) / len(prices)}


@app.register
@attrs.frozen
class Part:
    sku: str = attrs.field(validator=attrs.validators.min_len(3))
    price: Decimal


@app.register
class Invoice(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)

    number: int = pydantic.Field(gt=0)
    parts: list[Part]
    due: dt.date | None = None


@app.deferred(keep_result=HOUR, max_retries=0)
def bill(invoice: Invoice) -> Invoice:
    tell(f"{invoice!r}")
    return invoice


@app.deferred(max_retries=1)
def stumble(word: str) -> None:
    tell(word)
    raise RuntimeError(word)


@app.deferred(max_retries=0)
def vanish() -> None:
    """Raise what no `except Exception` sees."""
    tell(f"vanishing in {os.getpid()}")
    raise asyncio.CancelledError


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
    tell(f"{knocked(door)} in {os.getpid()}")


def knocked(door: str) -> str:
    """Return what is said at a door."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as opened:
        opened.bind(door)
        opened.settimeout(30)
        tell("waiting")
        return opened.recv(64).decode()


@app.deferred(queue="keys")
def show(key: datastore.Key, *, since: dt.datetime) -> None:
    tell(f"{key.path} {since.isoformat()} {os.getpid()}")


class Module:
    """What an application has one object of, in every process."""

    def __init__(self, path: str) -> None:
        self.path = path

    @app.deferred
    def sync(self, key: datastore.Key) -> None:
        tell(f"Module.sync on {self.path} with {key.name}")

    @app.deferred
    @classmethod
    def build(cls, size: int) -> None:
        tell(f"{cls.__name__}.build with {size}")

    @app.deferred
    @staticmethod
    def add(a: int, b: int) -> None:
        tell(f"the sum is {a + b}")


class Shop(Module):
    """Adds to what the modules do."""

    @app.deferred
    def sync(self, key: datastore.Key) -> None:
        super().sync(key)
        tell(f"Shop.sync on {self.path} with {key.name}")


shop = Shop("modules/shop")
app.add_object(shop.path, shop)


@app.register
@dataclass(frozen=True)
class Parcel:
    """A value that travels with the calls of its methods."""

    weight: int
    sent: dt.date

    @app.deferred
    def weigh(self, unit: str) -> None:
        tell(f"{self.weight} {unit} of {self.sent}")


@app.callable_task
class Greet(adjourn.CallableTask):
    key = "greet"
    name = "Greet somebody"
    descr = "Says hello to [somebody]."

    def can_call(self, user: adjourn.User) -> bool:
        return user.domain == "shop.example"

    def execute(
        self,
        whom: str,
        on: dt.date,
        times: int = 1,
        sizes: list[Size] | None = None,
        louder: bool = False,  # noqa: FBT001, FBT002 - a form gives it by name
    ) -> None:
        user = adjourn.current_task().user
        tell(f"{whom} {on} {times} {sizes} {louder} from {user}")


@app.callable_task
class Bow(adjourn.CallableTask):
    key = "bow"

    def can_call(self, user: adjourn.User) -> bool:
        return user.email == "ann@shop.example"

    def execute(self) -> None:
        tell("bows")


@app.periodic(interval=dt.timedelta(), cron_name="bell")
def ring() -> None:
    tell("ring")


class Garden:
    def __init__(self, name: str) -> None:
        self.name = name

    @app.periodic(interval=HOUR, cron_name="garden", overlap="allow")
    def water(self) -> None:
        print(f"watered {self.name} {adjourn.current_task().id}")  # noqa: T201 - the tests read it


for side in ("north", "south"):
    app.add_object(f"gardens.{side}", Garden(side))


@app.periodic(cron="every day 03:00", time_zone="Europe/Berlin", cron_name="nightly", grace=HOUR)
def tidy() -> None:
    pass


@app.query_iter
class Visit(adjourn.QueryIter[datastore.Entity]):
    step_seconds = 300

    def handle_entry(self, entry: datastore.Entity, custom_data: Any) -> None:  # noqa: ARG002
        tell(f"{entry.key.name} {os.getpid()}")
        if entry.key.name == "b":
            ended = time.monotonic() + 30
            while not is_stopping() and time.monotonic() < ended:
                time.sleep(0.01)  # the signal is handled in the main thread, whenever that runs

    def handle_finish(self, total_count: int, custom_data: Any) -> None:  # noqa: ARG002
        tell(f"{total_count} visited")


@app.query_iter
class Sum(adjourn.QueryIter[datastore.Entity]):
    batch_size = 7
    step_seconds = 0.001

    def handle_entry(self, entry: datastore.Entity, custom_data: Any) -> None:
        custom_data["sum"] += entry["n"]

    def handle_finish(self, total_count: int, custom_data: Any) -> None:
        tell(f"{total_count} entities, sum {custom_data['sum']}")

    def merge(self, first: Any, second: Any) -> Any:
        return {"sum": first["sum"] + second["sum"]}


@app.query_iter
class Tour(adjourn.QueryIter[datastore.Entity]):
    """Waits at a door before the last entity, and may find it locked; each has its own step."""

    step_seconds = 1e-9
    max_entry_retries = 0

    def handle_entry(self, entry: datastore.Entity, custom_data: Any) -> None:
        if entry["n"] == custom_data["last"]:
            word = knocked(custom_data["door"])
            Path(custom_data["door"]).unlink()
            if word == "locked":
                raise RuntimeError(word)

    def handle_error(self, entry: Any, custom_data: Any, exception: Exception) -> Any:  # noqa: ARG002
        return self.STOP

    def handle_finish(self, total_count: int, custom_data: Any) -> None:  # noqa: ARG002
        tell(f"{total_count} seen")

    def on_pause(self, custom_data: Any) -> None:  # noqa: ARG002
        tell("paused")

    def on_cancel(self, custom_data: Any) -> None:  # noqa: ARG002
        tell("cancelled")


@app.query_iter
class Forget(adjourn.DeleteEntitiesIter):
    def handle_finish(self, total_count: int, custom_data: Any) -> None:  # noqa: ARG002
        tell(f"{total_count} forgotten")


@app.query_iter
class Raise(adjourn.UpdateEntitiesIter):
    def update_entry(self, entry: datastore.Entity, custom_data: Any) -> bool:
        entry["price"] += custom_data["by"]
        return bool(entry["n"] % 10)

    def handle_finish(self, total_count: int, custom_data: Any) -> None:  # noqa: ARG002
        tell(f"{total_count} raised")


@app.query_iter
class Import(adjourn.QueryIter[dict[str, str]]):
    max_entry_retries = 0

    def handle_entry(self, entry: dict[str, str], custom_data: Any) -> None:  # noqa: ARG002
        if entry["price"] == "free":
            raise ValueError("no price")
        tell(entry["id"])
