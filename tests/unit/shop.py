"""A small application as a user would write it, for the tests that need one in a module."""

import datetime as dt
import sys
from typing import Any

import adjourn

app = adjourn.App()
sent: list[str] = []
handled: list[Any] = []


@app.deferred
def send_receipt(order: str) -> str:
    """Note that a receipt was sent."""
    sent.append(order)
    return f"receipt {order}"


@app.deferred(queue="mail", max_retries=1)
def fail(reason: str) -> None:
    """Fail."""
    raise RuntimeError(reason)


@app.deferred
def shout(order: str) -> None:
    """Print an order."""
    print(order)  # noqa: T201
    print(f"{order}!", file=sys.stderr)  # noqa: T201


@app.periodic(interval=dt.timedelta(hours=1), cron_name="hourly")
def sweep() -> None:
    """Note a sweep."""
    sent.append("sweep")


@app.query_iter
class Reprice(adjourn.QueryIter[Any]):
    """Note every entity."""

    queue_name = "slow"

    def handle_entry(self, entry: Any, custom_data: Any) -> None:  # noqa: ARG002
        """Note the entity."""
        handled.append(entry)


@app.callable_task
class Restock(adjourn.CallableTask):
    """Note what was ordered, for the people of the shop."""

    key = "restock"

    def can_call(self, user: adjourn.User) -> bool:
        """Let the shop's own people."""
        return user.domain == "shop.example"

    def execute(self, article: str, amount: int = 1) -> None:
        """Note the order."""
        sent.append(f"{amount} {article} for {adjourn.current_task().user}")
