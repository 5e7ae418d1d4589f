"""What users write has to type-check, and what cannot work must not."""

import datetime as dt
from collections.abc import Iterator
from typing import Any, assert_type
from unittest.mock import ANY

import adjourn
from adjourn.testing import EnqueuedCall, MemoryQuery, Sandbox, fake, inline
from adjourn.viur import CallDeferred, PeriodicTask, retry_n_times
from adjourn.viur import QueryIter as ViurQueryIter

app = adjourn.App()
QUERY = MemoryQuery("Product")


@app.deferred
def send(order: int, *, resend: bool = False) -> str:
    return f"{order} {resend}"


@app.deferred
def ended(summary: adjourn.BatchSummary) -> None:
    assert_type(summary["done"], int)


@app.deferred(queue="mail", delay=1.5, timeout=dt.timedelta(minutes=1), max_retries=3)
def remind(who: str) -> None:
    pass


@app.deferred(name="stable")
def renamed() -> None:
    pass


@app.deferred
async def fetch(order: int) -> str:
    handle = await send.adefer(order, resend=True)
    assert_type(handle, adjourn.TaskHandle)
    assert_type(await handle.acancel(), bool)
    async for result in send.amap([order]):
        assert_type(result, adjourn.TaskHandle | adjourn.EncodeError | adjourn.EnqueueError)
    return f"{await handle.afetch()}"


@app.query_iter
class Later(adjourn.QueryIter[int, dict[str, int]]):
    async def load(self, entity: Any) -> int:
        return int(entity)

    async def handle_entry(self, entry: int, custom_data: dict[str, int]) -> None:
        custom_data["sum"] += entry

    async def handle_error(
        self, entry: int, custom_data: dict[str, int], exception: Exception
    ) -> bool:
        return True

    async def merge(self, first: dict[str, int], second: dict[str, int]) -> dict[str, int]:
        return first | second


class Shop:
    @app.deferred
    def sell(self, order: int, *, gift: bool = False) -> str:
        return f"{order} {gift}"

    @app.deferred(queue="slow")
    @classmethod
    def count(cls, size: int) -> int:
        return size

    @app.deferred
    @staticmethod
    def clean(size: int) -> None:
        pass

    @app.periodic(cron="every monday 09:00", time_zone="Europe/Berlin", overlap="allow")
    def tidy(self) -> int:
        return 1

    def move(self, there: str) -> None:
        pass


class Branch(Shop):
    @app.deferred
    def sell(self, order: int, *, gift: bool = False) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        assert_type(super().sell(order, gift=gift), adjourn.TaskHandle)
        return super().sell.call_local(order)


@app.periodic(interval=dt.timedelta(hours=4), cron_name="nightly", queue="slow")
def sweep() -> None:
    pass


@app.startup_task
def warm() -> int:
    return 1


@app.startup_task(once_per="revision", queue="slow")
def migrate() -> None:
    pass


assert_type(warm, adjourn.Task[[], int])
assert_type(migrate(), adjourn.TaskHandle)


@app.callable_task
class Restock(adjourn.CallableTask):
    key = "restock"
    options = {"queue": "slow"}  # noqa: RUF012

    def can_call(self, user: adjourn.User) -> bool:
        return user.domain == "shop.example"

    def execute(self, article: str, *, amount: int = 1) -> None:
        pass


assert_type(Restock(), Restock)


@app.query_iter
class Reprice(adjourn.QueryIter[dict[str, float]]):
    batch_size = 100
    step_seconds = 5
    queue_name = "slow"

    def handle_entry(self, entry: dict[str, float], custom_data: Any) -> None:
        custom_data["sum"] += entry["price"]

    def handle_error(self, entry: dict[str, float], custom_data: Any, exception: Exception) -> bool:
        return bool(entry) and custom_data is not None and isinstance(exception, KeyError)

    def handle_finish(self, total_count: int, custom_data: Any) -> None:
        custom_data["count"] = total_count


def calls() -> None:
    assert_type(send(5), adjourn.TaskHandle)
    assert_type(send.defer(5, resend=True), adjourn.TaskHandle)
    assert_type(send.call_local(5), str)
    send.options(queue="a", delay=5, timeout=30, call_name="b", max_retries=0).defer(5)
    assert_type(send.options(eta=dt.datetime.now(dt.UTC)).defer(5), adjourn.TaskHandle)
    assert_type(sweep(), adjourn.TaskHandle)
    assert_type(
        send.imap([5]), Iterator[adjourn.TaskHandle | adjourn.EncodeError | adjourn.EnqueueError]
    )
    assert_type(
        send.map([5]), list[adjourn.TaskHandle | adjourn.EncodeError | adjourn.EnqueueError]
    )
    assert_type(send(5).cancel(), bool)
    assert_type(Reprice.start(QUERY, {"sum": 0.0}), adjourn.RunHandle)
    assert_type(Reprice.start(QUERY).fetch(), adjourn.RunState | None)
    assert_type(Reprice.start(QUERY, shards=8, name="spring", limit=5).pause(), bool)
    assert_type(Reprice.start(adjourn.CsvFile("a.csv"), dry_run=True).pace(0.5), bool)
    assert_type(Reprice.start(adjourn.RowList([{"a": 1}]), entities_per_second=5).pace(None), bool)
    Reprice.start(adjourn.KeyList(iter(["key"])))
    with app.batch(name="import", on_done=ended, policy="cancel") as batch:
        batch.add(send, 5, resend=True)
        batch.add(send.options(delay=5), 5)
        batch.add(Reprice, QUERY, {"sum": 0.0}, shards=8)
        batch.map(send, [5])
        with batch.batch(on_done=ended) as inner:
            inner.add(send, 5)
    adjourn.current_batch().add(send, 5)
    assert_type(app.batches().get("import").fetch()["failed"], int)
    assert_type(app.batches().get("import").retry(), int)
    assert_type(app.runs().get("run"), adjourn.RunHandle)
    assert_type(app.runs().find(status=adjourn.Status.PAUSED), Iterator[adjourn.RunState])


def methods(shop: Shop, branch: Branch) -> None:
    assert_type(shop.sell(5, gift=True), adjourn.TaskHandle)
    assert_type(shop.sell.options(delay=5).defer(5), adjourn.TaskHandle)
    assert_type(shop.sell.call_local(5), str)
    assert_type(branch.sell(5), adjourn.TaskHandle)
    assert_type(shop.count.call_local(5), int)
    assert_type(Branch.count(5), adjourn.TaskHandle)
    assert_type(Shop.count.call_local(5), int)
    assert_type(Shop.clean(5), adjourn.TaskHandle)
    assert_type(shop.tidy(), adjourn.TaskHandle)
    assert_type(shop.tidy.call_local(), int)
    app.remove_periodic(shop.tidy)
    app.add_object("shop", shop)
    shop.sell("5")  # type: ignore[arg-type]
    shop.sell()  # type: ignore[call-arg]
    shop.sell(shop, 5)  # type: ignore[call-arg, arg-type]
    shop.sell.defer(5, gfit=True)  # type: ignore[call-arg]
    branch.sell.options(queue="a").defer("5")  # type: ignore[arg-type]
    shop.count("5")  # type: ignore[arg-type]
    Shop.count.options(dellay=5)  # type: ignore[call-arg]
    app.add_object(shop, "shop")  # type: ignore[arg-type]


@CallDeferred
@retry_n_times(3, "ann@shop.example")
def later(order: int) -> str:
    return f"{order}"


@PeriodicTask(interval=60)
def tidy() -> str:
    return "tidy"


class Walk(ViurQueryIter):
    @classmethod
    def handleEntry(cls, entry: Any, customData: Any) -> None:
        pass


def in_viurs_way() -> None:
    assert_type(later(5, _countdown=60), adjourn.TaskHandle)
    assert_type(tidy(), str)
    assert_type(Walk.startIterOnQuery("query", 5), adjourn.RunHandle)
    later.options(dellay=5)  # type: ignore[call-arg]
    PeriodicTask(interval="60")  # type: ignore[arg-type]
    retry_n_times("3")  # type: ignore[arg-type]


def tests(box: Sandbox) -> None:
    assert_type(box.assert_enqueued(send, 5, resend=True), EnqueuedCall)
    assert_type(box.assert_enqueued(send.options(queue="mail"), order=5), EnqueuedCall)
    assert_type(box.assert_enqueued(send, ANY), EnqueuedCall)
    assert_type(box.assert_enqueued(send, ...), EnqueuedCall)
    box.assert_enqueued(Shop().sell, 5)
    box.travel(by=5)
    with fake(app) as faked, inline(app) as at_once:
        assert_type(faked, Sandbox)
        assert_type(at_once, Sandbox)


def mistakes(box: Sandbox) -> None:
    box.assert_enqueued(len, 5)  # type: ignore[call-overload]
    box.assert_enqueued(send, "5")  # type: ignore[call-overload]
    box.assert_enqueued(send, 5, resned=True)  # type: ignore[call-arg]
    box.travel(5)  # type: ignore[call-arg, arg-type]
    box.travel(to="noon")  # type: ignore[arg-type]
    send("5")  # type: ignore[arg-type]
    send()  # type: ignore[call-arg]
    app.batch(policy="stop")  # type: ignore[arg-type]
    app.batch(on_done=print)  # type: ignore[arg-type]
    send(5, resned=True)  # type: ignore[call-arg]
    send.call_local(5).bit_length()  # type: ignore[attr-defined]
    send.options(dellay=5)  # type: ignore[call-arg]
    send.options(delay="5")  # type: ignore[arg-type]
    send.options(queue="a").defer("5")  # type: ignore[arg-type]
    sweep(5)  # type: ignore[call-arg]
    renamed(5)  # type: ignore[call-arg]
    app.deferred(qeue="mail")  # type: ignore[call-overload]
    app.deferred(eta=dt.datetime.now(dt.UTC))  # type: ignore[call-overload]
    app.periodic(interval=5)  # type: ignore[arg-type]
    app.query_iter(int)  # type: ignore[type-var]
    Reprice.start(QUERY, shards="8")  # type: ignore[arg-type]
    Reprice.start(QUERY, entities_per_second="5")  # type: ignore[arg-type]
    Reprice.start(QUERY, dry_run=1)  # type: ignore[arg-type]
    adjourn.RowList(5)  # type: ignore[arg-type]
    adjourn.CsvFile(["a.csv"])  # type: ignore[arg-type]
    Reprice.start(QUERY, None, 8)  # type: ignore[call-arg]
    app.periodic(cron="0 3 * * *", overlap="never")  # type: ignore[arg-type]
    app.remove_periodic(Shop.move)  # type: ignore[arg-type]


class WrongEntry(adjourn.QueryIter[str]):
    def handle_entry(self, entry: int, custom_data: Any) -> None:  # type: ignore[override]
        pass


class WrongAnswer(adjourn.QueryIter[str]):
    def handle_error(self, entry: str, custom_data: Any, exception: Exception) -> str:  # type: ignore[override]
        return f"{entry} {custom_data} {exception}"
