"""What a page costs: the operations that it made, counted for its footer."""

import datetime as dt
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TypeVar

from adjourn.errors import EnqueueError
from adjourn.ports import (
    Adapters,
    EntityStore,
    Job,
    JobScheduler,
    NewTask,
    Record,
    RecordKey,
    TaskQueue,
    TaskState,
    Transaction,
    Versioned,
)

T = TypeVar("T")


@dataclass(slots=True)
class Costs:
    """What one request has cost so far.

    Attributes:
        reads: Entities read from Datastore, as they are billed.
        writes: Entities written or deleted.
        tasks: Calls of Cloud Tasks.
        jobs: Calls of Cloud Scheduler.
        lock: Held while it is changed: a page asks in several threads.
    """

    reads: int = 0
    writes: int = 0
    tasks: int = 0
    jobs: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)


_costs: ContextVar[Costs | None] = ContextVar("costs", default=None)


@contextmanager
def counting() -> Iterator[Costs]:
    """Count what is done in a context, and in the threads that it starts with its context."""
    costs = Costs()
    token = _costs.set(costs)
    try:
        yield costs
    finally:
        _costs.reset(token)


def current() -> Costs:
    """Return what has been counted so far; nothing outside of `counting`."""
    return _costs.get() or Costs()


def spend(*, reads: int = 0, writes: int = 0, tasks: int = 0, jobs: int = 0) -> None:
    """Count operations; outside of `counting` they are nobody's."""
    costs = current()
    with costs.lock:
        costs.reads += reads
        costs.writes += writes
        costs.tasks += tasks
        costs.jobs += jobs


def counted(adapters: Adapters) -> Adapters:
    """Return adapters that count what is done with them."""
    return replace(
        adapters,
        store=_CountingStore(adapters.store),
        queue=_CountingQueue(adapters.queue),
        jobs=_CountingJobs(adapters.jobs),
    )


class _CountingStore:
    def __init__(self, store: EntityStore) -> None:
        self._store = store

    def get(self, keys: Sequence[RecordKey]) -> list[Record | None]:
        spend(reads=len(keys))
        return self._store.get(keys)

    def read(self, keys: Sequence[RecordKey]) -> list[Versioned | None]:
        spend(reads=len(keys))
        return self._store.read(keys)

    def put(self, key: RecordKey, record: Record, *, unindexed: Collection[str] = ()) -> None:
        spend(writes=1)
        self._store.put(key, record, unindexed=unindexed)

    def replace(
        self, key: RecordKey, record: Record, *, version: int, unindexed: Collection[str] = ()
    ) -> int:
        spend(writes=1)
        return self._store.replace(key, record, version=version, unindexed=unindexed)

    def put_many(
        self, records: Mapping[RecordKey, Record], *, unindexed: Collection[str] = ()
    ) -> None:
        spend(writes=len(records))
        self._store.put_many(records, unindexed=unindexed)

    def delete_many(self, keys: Sequence[RecordKey]) -> None:
        spend(writes=len(keys))
        self._store.delete_many(keys)

    def query(
        self,
        kind: str,
        *,
        by: str,
        since: dt.datetime | None = None,
        before: dt.datetime | None = None,
    ) -> Iterator[tuple[str, Record]]:
        for each in self._store.query(kind, by=by, since=since, before=before):
            spend(reads=1)
            yield each

    def by_name(self, kind: str, *, prefix: str) -> Iterator[tuple[str, Record]]:
        for each in self._store.by_name(kind, prefix=prefix):
            spend(reads=1)
            yield each

    def names(self, kind: str, *, by: str, before: dt.datetime, limit: int) -> Sequence[str]:
        spend(reads=1)
        return self._store.names(kind, by=by, before=before, limit=limit)

    def transact(self, work: Callable[[Transaction], T]) -> T:
        return self._store.transact(lambda transaction: work(_CountingTransaction(transaction)))


class _CountingTransaction:
    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    @property
    def written(self) -> Mapping[RecordKey, int]:
        return self._transaction.written

    def get(self, keys: Sequence[RecordKey]) -> list[Record | None]:
        spend(reads=len(keys))
        return self._transaction.get(keys)

    def read(self, keys: Sequence[RecordKey]) -> list[Versioned | None]:
        spend(reads=len(keys))
        return self._transaction.read(keys)

    def put(self, key: RecordKey, record: Record, *, unindexed: Collection[str] = ()) -> None:
        spend(writes=1)
        self._transaction.put(key, record, unindexed=unindexed)

    def delete(self, key: RecordKey) -> None:
        spend(writes=1)
        self._transaction.delete(key)


class _CountingQueue:
    def __init__(self, queue: TaskQueue) -> None:
        self._queue = queue

    def connect(self) -> None:
        self._queue.connect()

    def enqueue(self, task: NewTask) -> str:
        spend(tasks=1)
        return self._queue.enqueue(task)

    def enqueue_many(self, tasks: Sequence[NewTask]) -> list[str | EnqueueError]:
        spend(tasks=len(tasks))
        return self._queue.enqueue_many(tasks)

    def full_name(self, queue: str, name: str) -> str:
        return self._queue.full_name(queue, name)

    def fetch(self, full_name: str) -> TaskState | None:
        spend(tasks=1)
        return self._queue.fetch(full_name)

    def delete(self, full_name: str) -> bool:
        spend(tasks=1)
        return self._queue.delete(full_name)


class _CountingJobs:
    def __init__(self, jobs: JobScheduler) -> None:
        self._jobs = jobs

    def list(self) -> Sequence[Job]:
        spend(jobs=1)
        return self._jobs.list()

    def get(self, name: str) -> Job | None:
        spend(jobs=1)
        return self._jobs.get(name)

    def run(self, name: str) -> Job:
        spend(jobs=1)
        return self._jobs.run(name)

    def pause(self, name: str) -> Job:
        spend(jobs=1)
        return self._jobs.pause(name)

    def resume(self, name: str) -> Job:
        spend(jobs=1)
        return self._jobs.resume(name)
