"""The application of the chaos tests: each call tells what it is to a socket."""

import os
import socket
from functools import cache
from typing import Any

from google.cloud import datastore

import adjourn

app = adjourn.App()


def tell(what: int | str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.sendto(str(what).encode(), os.environ["CHAOS_EAR"])


@app.deferred
def plain(number: int) -> None:
    tell(number)


@app.deferred(once=True)
def once(number: int) -> None:
    tell(number)


@app.deferred(max_retries=2)
def die(number: int) -> None:
    """End the process, as a fault in a library written in C or the lack of memory does."""
    tell(number)
    os._exit(1)


@app.deferred(timeout=15, max_retries=0)
def spin(number: int) -> None:
    """Never end."""
    tell(number)
    while True:
        pass


@app.periodic(cron="*/10 * * * *", cron_name="slots", overlap="allow", once=True)
def slot() -> None:
    """Tell for which time this was due."""
    tell(f"slot {adjourn.current_task().eta}")


@cache
def client() -> datastore.Client:
    return datastore.Client()


@app.deferred(once=True, timeout=15, max_backoff=2)
def pay(number: int) -> None:
    with client().transaction() as transaction:
        adjourn.current_task().done_with(transaction)
        payment = datastore.Entity(client().key("Payment", number + 1))
        payment["times"] = (client().get(payment.key) or {"times": 0})["times"] + 1
        transaction.put(payment)
    tell(number)


@app.query_iter
class Walk(adjourn.QueryIter[datastore.Entity]):
    """Tells each number and, in the end, how many there were and what they make together."""

    batch_size = 50
    step_seconds = 0.2
    lease_seconds = 3

    def handle_entry(self, entry: datastore.Entity, custom_data: Any) -> None:
        tell(entry["n"])
        custom_data["sum"] += entry["n"]

    def merge(self, first: Any, second: Any) -> Any:
        return {"sum": first["sum"] + second["sum"]}

    def handle_finish(self, total_count: int, custom_data: Any) -> None:
        end = datastore.Entity(client().key("WalkEnd", adjourn.current_task().id))
        end.update(total=total_count, sum=custom_data["sum"])
        client().put(end)
