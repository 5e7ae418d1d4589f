"""An application with a task whose calls can be children, and what hears of the ends."""

import datetime as dt

import pytest

from adjourn import PermanentTaskFailure
from adjourn.batches.records import KIND
from adjourn.batches.shards import KIND as SHARD_KIND


class Shop:
    """Tasks, and what they have put down.

    Attributes:
        ran: Numbers of the calls that have run.
        done: The summaries of ended batches.
        failed: The summaries of batches with a failure.
        broken: Numbers of the calls that fail for good.
        within: What is to be done while a call runs, by its number.
    """

    def __init__(self, app, box):
        self.app, self.box = app, box
        self.ran, self.done, self.failed, self.broken, self.within = [], [], [], set(), {}

        @app.deferred(name="work")
        def work(number: int) -> None:
            self.ran.append(number)
            if number in self.within:
                self.within[number]()
            if number in self.broken:
                raise PermanentTaskFailure(f"{number} is broken")

        @app.deferred(name="done")
        def done(summary: dict) -> None:
            self.done.append(summary)

        @app.deferred(name="failed")
        def failed(summary: dict) -> None:
            self.failed.append(summary)

        self.work, self.on_done, self.on_failed = work, done, failed

    def batch(self, **options):
        return self.app.batch(on_done=self.on_done, on_failed=self.on_failed, **options)

    def stored(self, kind=KIND):
        return [each for key, (_, each) in self.box.store.records.items() if key.kind == kind]

    def shards(self):
        return self.stored(SHARD_KIND)

    def counts(self):
        """Return the numbers of done, failed and cancelled children of the only ended batch."""
        (summary,) = self.done
        return summary["done"], summary["failed"], summary["cancelled"]


@pytest.fixture
def shop(app, box):
    return Shop(app, box)


@pytest.fixture
def pass_time(box):
    """Return what lets time pass, in which due tasks run."""

    def pass_time(seconds, step=30):
        for _ in range(0, seconds, step):
            box.travel(by=step)
            box.drain()

    return pass_time


START = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
