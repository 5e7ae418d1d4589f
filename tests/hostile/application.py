"""The application that hostile requests are put to: it notes what is run, in a file."""

import datetime as dt
import os
import sys
from dataclasses import dataclass
from enum import Enum
from typing import Any

import adjourn

app = adjourn.App()

# What may run.
REGISTERED = {"plain", "once", "fails", "sweep", "reprice", "restock"}
# What code does that was smuggled in, and none of ours.
_FORBIDDEN = {
    "os.exec",
    "os.posix_spawn",
    "os.system",
    "pickle.find_class",
    "shutil.rmtree",
    "subprocess.Popen",
}


def note(what: str) -> None:
    """Add a line to the notes: the name of what runs."""
    file = os.open(os.environ["HOSTILE_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, f"{what}\n".encode())
    finally:
        os.close(file)


def watch(name: str, _arguments: object) -> None:
    if name in _FORBIDDEN:
        note(f"audit:{name}")


if "HOSTILE_NOTES" in os.environ:  # in the functions
    sys.addaudithook(watch)


class Colour(Enum):
    RED = 1


@dataclass(frozen=True)
class Order:
    number: int
    items: Any = ()


app.register(Colour, name="colour")
app.register(Order, name="order")


@app.deferred(name="plain")
def plain(*_: Any, **__: Any) -> None:
    note("plain")


@app.deferred(name="once", once=True)
def once(*_: Any, **__: Any) -> None:
    note("once")


@app.deferred(name="fails", max_retries=3)
def fails(*_: Any, **__: Any) -> None:
    note("fails")
    raise RuntimeError("as always")


@app.periodic(interval=dt.timedelta(hours=1), cron_name="hourly", name="sweep")
def sweep() -> None:
    note("sweep")


@app.query_iter
class Reprice(adjourn.QueryIter[Any]):
    def handle_entry(self, entry: Any, custom_data: Any) -> None:  # noqa: ARG002
        note("reprice")


@app.callable_task
class Restock(adjourn.CallableTask):
    key = "restock"

    def can_call(self, user: adjourn.User) -> bool:
        return user.domain == "shop.example"

    def execute(self, article: str, amount: int = 1) -> None:  # noqa: ARG002
        note("restock")


def never() -> None:
    """Note that something ran that nobody registered."""
    note("never")
