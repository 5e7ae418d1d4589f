"""A shop in ViUR's style: what is not of tests is as it was, but for the first import and the end.

The import was `from viur.core.tasks import ...`; the end took the place of `core.setup(...)`.
"""

from datetime import timedelta

from adjourn.viur import (
    CallableTask,
    CallableTaskBase,
    CallDeferred,
    DeleteEntitiesIter,
    PeriodicTask,
    PermanentTaskFailure,
    QueryIter,
    StartupTask,
    app,
    callDeferred,
    noRetry,
    retry_n_times,
)
from tests.viur_notes import note


@CallDeferred
def sendReceipt(order, *, copy=False, _locale="de"):
    note("receipt", order, copy, _locale)
    return f"receipt {order}"


@callDeferred
def first(number):
    note("first", number)
    second(number + 1, _queue="slow", _countdown=60)


@CallDeferred
def second(number):
    note("second", number)


@CallDeferred
@retry_n_times(2, email_recipients=["ann@shop.example"], tpl="failed")
def importFeed(url):
    note("import", url)
    raise RuntimeError(url)


@CallDeferred
@noRetry
def charge(amount):
    note("charge", amount)
    raise RuntimeError(amount)


@CallDeferred
def giveUp():
    raise PermanentTaskFailure("never")


@PeriodicTask(interval=timedelta(minutes=30))
def sweep():
    note("sweep")
    return "swept"


@PeriodicTask(interval=timedelta(hours=4), cronName="nightly")
@CallDeferred
def report(day="today"):
    note("report", day)


@StartupTask
def warmUp():
    note("warm")


class Module:
    def __init__(self, moduleName, modulePath):
        self.moduleName = moduleName
        self.modulePath = modulePath

    @property
    def lazy(self):
        raise RuntimeError("nobody asked")

    @PeriodicTask(timedelta(days=1), "nightly")
    def cleanup(self):
        note("cleanup", self.modulePath)

    @CallDeferred
    def rebuild(self, *, deep=False):
        note("rebuild", self.modulePath, deep)


class Order(Module):
    @CallDeferred
    def sync(self, key):
        note("sync", self.modulePath, key)

    @CallDeferred
    def rebuild(self, *, deep=False):
        super().rebuild(deep=deep)
        note("and orders")


class Archive(Module):
    @CallDeferred
    def sync(self, key):
        note("archive", self.modulePath, key)


@CallDeferred
def rebuild(what):
    note("rebuild everything", what)


class index:
    @CallDeferred
    def ping(self, word):
        note("ping", word)


@CallableTask
class ClearCache(CallableTaskBase):
    key = "clear-cache"
    name = "Clear the cache"
    descr = "All of it"

    def canCall(self):
        return self.user and self.user.email.startswith("ann@")

    def execute(self, *args, **kwargs):
        note("cleared", args, kwargs)


@CallableTask
class Restock(CallableTaskBase):
    key = "restock"

    def canCall(self):
        return self.user.domain == "shop.example"

    def execute(self, article: str, amount: int = 1, **kwargs):
        note("restock", article, amount)


class Reprice(QueryIter):
    queueName = "slow"
    max_entry_retries = 0

    @classmethod
    def handleEntry(cls, entry, customData):
        if entry["n"] < 0:
            raise ValueError(entry["n"])
        customData["sum"] += entry["n"]

    @classmethod
    def handleError(cls, entry, customData, exception):
        note("error", entry["n"])
        return entry["n"] > -100

    @classmethod
    def handleFinish(cls, totalCount, customData):
        note("finish", totalCount, customData["sum"])


class EmptyShop(DeleteEntitiesIter):
    @classmethod
    def handleFinish(cls, totalCount, customData):
        note("emptied", totalCount)


class DeleteSome(DeleteEntitiesIter):
    @classmethod
    def handleEntry(cls, entry, customData):
        if entry["n"] % 2:
            super().handleEntry(entry, customData)


main_app = index()
main_app.order = Order("order", "order")
main_app.archive = Archive("archive", "archive")
main_app.vi = type("Renderer", (), {})()
main_app.vi.order = Order("order", "vi/order")

app.add_main_app(main_app)
