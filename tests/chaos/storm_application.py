"""The application that runs in a storm. Each call and each entity tells its number to a socket."""

from functools import cache
from typing import Any

from google.cloud import datastore

import adjourn
from tests.chaos.application import tell
from tests.chaos.batch_tasks import declare

app = adjourn.App()


batch_tasks = declare(app, tell)


@cache
def client() -> datastore.Client:
    return datastore.Client()


@app.deferred
def plain(number: int) -> None:
    tell(number)


@app.deferred(once=True, timeout=15, max_backoff=2)
def pay(number: int) -> None:
    """Write in a transaction that also ends the call."""
    tell(number)  # first, because a process that dies after the commit is not called again
    with client().transaction() as transaction:
        adjourn.current_task().done_with(transaction)
        payment = datastore.Entity(client().key("Payment", number + 1))
        payment["times"] = (client().get(payment.key) or {"times": 0})["times"] + 1
        transaction.put(payment)


@app.query_iter
class Walk(adjourn.QueryIter[datastore.Entity | int]):
    """Counts what it did, and writes how often and with which counts it ended."""

    step_seconds = 2
    lease_seconds = 5

    def handle_entry(self, entry: datastore.Entity | int, custom_data: Any) -> None:
        number = entry if isinstance(entry, int) else entry["n"]
        tell(number)
        custom_data["sum"] += number

    def merge(self, first: Any, second: Any) -> Any:
        return {"sum": first["sum"] + second["sum"]}

    def handle_finish(self, total_count: int, custom_data: Any) -> None:
        with client().transaction() as transaction:
            key = client().key("WalkEnd", adjourn.current_task().id)
            end = client().get(key) or datastore.Entity(key, exclude_from_indexes=("sum",))
            times = end.get("times", 0) + 1
            end.update(total=total_count, sum=custom_data["sum"], times=times)
            transaction.put(end)
