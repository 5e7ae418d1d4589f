"""Queries, custom data, items of map and parameters of periodic functions have types, too."""

import datetime as dt
from collections.abc import Callable, Iterator
from typing import TypeAlias, TypedDict, TypeVar, assert_type

from google.cloud import datastore

import adjourn
from adjourn.tasks.handle import Enqueued
from adjourn.testing import MemoryQuery

app = adjourn.App(datastore=datastore.Client(project="shop"))
QUERY = MemoryQuery("Product")
HOUR = dt.timedelta(hours=1)
T = TypeVar("T")


@app.deferred
def send(order: int, copies: str = "one", *, resend: bool = False) -> str:
    return f"{order} {copies} {resend}"


@app.deferred
def gather(*orders: int) -> None:
    pass


@app.periodic(interval=HOUR)
def sweep(days: int = 7, *, dry: bool = False) -> int:
    return days + dry


@app.startup_task
def warm(size: int = 5) -> None:
    pass


class Shop:
    @app.periodic(cron="0 3 * * *")
    def tidy(self, days: int = 7) -> int:
        return days

    @app.deferred
    def sell(self, order: int) -> None:
        pass


class Data(TypedDict):
    count: int


Counts: TypeAlias = dict[str, int]


@app.query_iter
class Count(adjourn.QueryIter[datastore.Entity, Data]):
    def on_start(self, custom_data: Data) -> None:
        custom_data["count"] = 0

    def handle_entry(self, entry: datastore.Entity, custom_data: Data) -> None:
        custom_data["count"] += 1

    def merge(self, first: Data, second: Data) -> Data:
        return {"count": first["count"] + second["count"]}


@app.query_iter
class Sum(adjourn.QueryIter[datastore.Entity, Counts]):
    def handle_entry(self, entry: datastore.Entity, custom_data: Counts) -> None:
        assert_type(custom_data, Counts)


@app.query_iter
class Untold(adjourn.QueryIter[datastore.Entity]):
    def handle_entry(self, entry: datastore.Entity, custom_data: list[int]) -> None:
        custom_data.append(len(entry))


class Base(adjourn.QueryIter[T, Counts]):
    def handle_finish(self, total_count: int, custom_data: Counts) -> None:
        custom_data["all"] = total_count


@app.query_iter
class Derived(Base[str]):
    def handle_entry(self, entry: str, custom_data: Counts) -> None:
        custom_data[entry] = 1


@app.query_iter
class Raise(adjourn.UpdateEntitiesIter):
    def update_entry(self, entry: datastore.Entity, custom_data: float) -> bool:
        entry["price"] *= custom_data
        return True


def give_up(letter: adjourn.DeadLetter) -> None:
    pass


@app.deferred(on_dead=give_up)
def fail() -> None:
    pass


class Money:
    pass


app.add_extension(adjourn.Extension("shop.Money", "shop.Money", str, str, lambda _: Money()))


def right(client: datastore.Client, shop: Shop) -> None:
    assert_type(Count.start(client.query(kind="Product"), {"count": 0}), adjourn.RunHandle)
    assert_type(Count.start(QUERY), adjourn.RunHandle)
    Derived.start(QUERY, {"a": 1})
    Untold.start(QUERY, ["whatever"])
    Raise.start(QUERY, 1.19)
    assert_type(send.map([1, 2]), list[Enqueued])
    assert_type(send.map([1], ["two"]), list[Enqueued])
    assert_type(gather.map([1]), list[Enqueued])
    assert_type(gather.map([1], [2], [3]), list[Enqueued])
    assert_type(send.options(queue="mail").imap(iter([1])), Iterator[Enqueued])
    assert_type(shop.sell.map(range(5)), list[Enqueued])
    assert_type(sweep(30, dry=True), adjourn.TaskHandle)
    assert_type(sweep.call_local(), int)
    assert_type(sweep.options(delay=5).call_local(30), int)
    assert_type(warm(7), adjourn.TaskHandle)
    assert_type(shop.tidy(30), adjourn.TaskHandle)
    assert_type(shop.tidy.call_local(), int)
    assert_type(send.__name__, str)
    assert_type(send(1).fetch(), adjourn.TaskState | None)
    send.options(call_name="once", eta=dt.datetime.now(dt.UTC)).defer(1, resend=True)
    wrapped: Callable[..., object] = send.__wrapped__
    wrapped(1)
    adjourn.App(datastore=lambda: client)


def wrong(shop: Shop) -> None:
    Count.start("Product", {"count": 0})  # type: ignore[arg-type]
    Count.start(QUERY, {"cuont": 0})  # type: ignore[arg-type]
    Sum.start(QUERY, {"a": "b"})  # type: ignore[dict-item]
    Derived.start(QUERY, 5)  # type: ignore[arg-type]
    send.map(["one"])  # type: ignore[list-item]
    send.map([1], [2])  # type: ignore[list-item]
    send.map(1)  # type: ignore[call-overload]
    send.imap({"one"})  # type: ignore[arg-type]
    shop.sell.map(["one"])  # type: ignore[list-item]
    fail.map([1])  # type: ignore[call-arg]
    sweep("30")  # type: ignore[arg-type]
    sweep.options(delay=5)(days=30, dyr=True)  # type: ignore[call-arg]
    warm("7")  # type: ignore[arg-type]
    shop.tidy("30")  # type: ignore[arg-type]
    send.options("mail")  # type: ignore[arg-type]
    send.colour  # type: ignore[attr-defined]  # noqa: B018 - a task has no attribute of that name
    app.deferred("mail")  # type: ignore[call-overload]
    app.deferred(on_dead="x")  # type: ignore[call-overload]
    app.periodic("0 3 * * *")  # type: ignore[arg-type]
    adjourn.App("shop")  # type: ignore[arg-type]


class WrongData(adjourn.QueryIter[str, Counts]):
    def handle_entry(self, entry: str, custom_data: list[int]) -> None:  # type: ignore[override]
        pass


class WrongMerge(adjourn.QueryIter[str, Counts]):
    def merge(self, first: Counts, second: Counts) -> int:  # type: ignore[override]
        return len(first) + len(second)
