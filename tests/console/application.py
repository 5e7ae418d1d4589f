"""The application that the console is tried with."""

import datetime as dt
import enum
from decimal import Decimal
from typing import Annotated

from google.cloud.datastore import Entity

import adjourn

app = adjourn.App()

HOSTILE = "<script>alert(1)</script> \x1b[31m \u202e <img src=x onerror=alert(2)>"


@app.deferred(max_retries=0)
def fail(number: int) -> None:
    raise ValueError(f"{number} {HOSTILE}")


@app.deferred(max_retries=0)
def refuse(text: str) -> None:
    raise adjourn.PermanentTaskFailure(f"refused {len(text)} characters")


@app.deferred(max_retries=0)
def pay(order: int, amount: Decimal | None = None, *, notes: tuple[str, ...] = ()) -> None:  # noqa: ARG001
    if amount is None:
        raise ValueError(f"order {order} has no amount {HOSTILE}")


@app.periodic(interval=dt.timedelta(hours=4))
def sweep() -> None: ...


@app.periodic(cron="30 3 * * *", cron_name="nightly")
def report() -> None: ...


app.schedules.serve("nightly")


@app.deferred(flow=adjourn.Flow(key="tenant", concurrency=2))
def sync(tenant: str, page: int) -> None: ...


@app.query_iter
class Reprice(adjourn.QueryIter[Entity]):
    max_entry_retries = 0

    def handle_entry(self, entry: Entity, custom_data: object) -> None:  # noqa: ARG002
        if entry.get("is_bad"):
            raise adjourn.PermanentTaskFailure(f"{HOSTILE}")


class Size(enum.StrEnum):
    SMALL = "small"
    LARGE = "large"


@app.callable_task
class Rebuild(adjourn.CallableTask):
    key = "rebuild"
    name = "Rebuild the index <b>now</b>"
    descr = "Takes about an hour."

    def can_call(self, user: adjourn.User) -> bool:
        return user.domain == "shop.example"

    def execute(
        self,
        since: Annotated[dt.date, "The first day"],
        limit: int = 1000,
        size: Size = Size.SMALL,
        tags: list[str] | None = None,
        *,
        dry: bool = False,
    ) -> None: ...
