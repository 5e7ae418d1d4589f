"""In-memory twins of the outside world, for users' tests and for our own.

    with adjourn.testing.sandbox(app) as box:
        send_receipt(order.key)
        box.drain()

Calls go through the same encoding, verification and dispatch as in production; only Cloud Tasks,
Datastore, the keys of Google and the clock are replaced.
"""

import base64
import copy
import datetime as dt
import itertools
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from adjourn.app import App
from adjourn.delivery import Delivery, Outcome
from adjourn.errors import (
    ConflictError,
    DeclarationError,
    EnqueueError,
    QueueNotFoundError,
    TaskExistsError,
    UnauthenticatedError,
)
from adjourn.ports import (
    Adapters,
    NewTask,
    Page,
    Record,
    RecordKey,
    Target,
    TaskState,
    Transaction,
    Value,
)
from adjourn.retry import Attempt
from adjourn.settings import Settings

T = TypeVar("T")

SETTINGS = Settings(
    project="sandbox",
    location="europe-west1",
    deferred_url="https://deferred.example",
    queryiter_url="https://queryiter.example",
    cron_url="https://cron.example",
    service_account="tasks@sandbox.iam.gserviceaccount.com",
)

_TOMBSTONE = dt.timedelta(hours=1)
_ATTEMPTS = 6


class FakeClock:
    """A clock that stands still until it is told to move."""

    def __init__(self, start: dt.datetime = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)) -> None:
        self._now = start
        self._monotonic = 0.0

    def now(self) -> dt.datetime:
        """Return the time that was set."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds by which the clock was moved."""
        return self._monotonic

    def advance(self, by: dt.timedelta) -> None:
        """Move the clock on."""
        self._now += by
        self._monotonic += by.total_seconds()


@dataclass(slots=True)
class Queued:
    """A task that waits in a `MemoryQueue`."""

    name: str
    task: NewTask
    due: dt.datetime
    attempt: Attempt = field(default_factory=Attempt)
    last_status: str = ""


class MemoryQueue:
    """Cloud Tasks in memory: names stay taken for an hour after their task is gone.

    Args:
        clock: Says what is due.
        queues: The queues that exist; any queue if None.
    """

    def __init__(self, clock: FakeClock, queues: Collection[str] | None = None) -> None:
        self._clock = clock
        self._queues = queues
        self._ids = itertools.count(1)
        self._tombstones: dict[str, dt.datetime] = {}
        self.tasks: dict[str, Queued] = {}

    def enqueue(self, task: NewTask) -> str:
        """Keep the task until it is removed."""
        if self._queues is not None and task.queue not in self._queues:
            raise QueueNotFoundError(f"There is no queue {task.queue!r}.")
        now = self._clock.now()
        name = self.full_name(task.queue, task.name or f"{next(self._ids):020}")
        if name in self.tasks or self._tombstones.get(name, now) > now:
            raise TaskExistsError(f"{name} exists, or did until recently.")
        self.tasks[name] = Queued(name, task, max(task.eta or now, now))
        return name

    def enqueue_many(self, tasks: Sequence[NewTask]) -> list[str | EnqueueError]:
        """Keep the tasks until they are removed."""
        results: list[str | EnqueueError] = []
        for task in tasks:
            try:
                results.append(self.enqueue(task))
            except EnqueueError as error:
                results.append(error)
        return results

    def full_name(self, queue: str, name: str) -> str:
        """Return a name in the form of the real service."""
        return f"projects/sandbox/locations/europe-west1/queues/{queue}/tasks/{name}"

    def fetch(self, full_name: str) -> TaskState | None:
        """Return how a task stands, None if it is gone."""
        queued = self.tasks.get(full_name)
        if queued is None:
            return None
        attempts = queued.attempt.retry_count
        return TaskState(attempts=attempts, last_status=queued.last_status, next_start=queued.due)

    def delete(self, full_name: str) -> bool:
        """Remove a task; its name stays taken for a while."""
        if self.tasks.pop(full_name, None) is None:
            return False
        self._tombstones[full_name] = self._clock.now() + _TOMBSTONE
        return True

    def due(self) -> list[Queued]:
        """Return the tasks whose time has come, the longest due first."""
        now = self._clock.now()
        return sorted((q for q in self.tasks.values() if q.due <= now), key=lambda q: q.due)


class MemoryStore:
    """Datastore in memory: a transaction is refused if what it read has changed."""

    def __init__(self) -> None:
        self._versions = itertools.count(1)
        self.records: dict[RecordKey, tuple[int, Record]] = {}

    def get(self, keys: Sequence[RecordKey]) -> list[Record | None]:
        """Return copies of the records."""
        return [copy.deepcopy(self._read(key)[1]) for key in keys]

    def put(self, key: RecordKey, record: Record, *, unindexed: Collection[str] = ()) -> None:  # noqa: ARG002
        """Keep a copy of the record, with its times in UTC as Datastore has them."""
        kept = {name: _in_utc(copy.deepcopy(value)) for name, value in record.items()}
        self.records[key] = (next(self._versions), kept)

    def query(
        self,
        kind: str,
        *,
        by: str,
        since: dt.datetime | None = None,
        before: dt.datetime | None = None,
    ) -> Iterator[tuple[str, Record]]:
        """Yield copies of the records, as they are now, the latest first."""
        found = [
            (at, key.name, copy.deepcopy(record))
            for key, (_, record) in self.records.items()
            if key.kind == kind
            and isinstance(at := record.get(by), dt.datetime)
            and (since is None or at >= since)
            and (before is None or at < before)
        ]
        found.sort(key=lambda each: each[:2], reverse=True)
        return ((name, record) for _, name, record in found)

    def transact(self, work: Callable[[Transaction], T]) -> T:
        """Run `work`, again if something that it read was changed meanwhile."""
        for _ in range(_ATTEMPTS):
            transaction = _MemoryTransaction(dict(self.records))
            result = work(transaction)
            if all(self._read(key)[0] == seen for key, seen in transaction.seen.items()):
                for key, record in transaction.writes.items():
                    if record is None:
                        self.records.pop(key, None)
                    else:
                        self.put(key, record)
                return result
        raise ConflictError(f"A transaction met others {_ATTEMPTS} times in a row.")

    def _read(self, key: RecordKey) -> tuple[int, Record | None]:
        return self.records.get(key, (0, None))


def _in_utc(value: Value) -> Value:
    return value.astimezone(dt.UTC) if isinstance(value, dt.datetime) else value


class _MemoryTransaction:
    def __init__(self, snapshot: Mapping[RecordKey, tuple[int, Record]]) -> None:
        self._snapshot = snapshot
        self.seen: dict[RecordKey, int] = {}
        self.writes: dict[RecordKey, Record | None] = {}

    def get(self, keys: Sequence[RecordKey]) -> list[Record | None]:
        found: list[Record | None] = []
        for key in keys:
            version, record = self._snapshot.get(key, (0, None))
            self.seen[key] = version
            found.append(copy.deepcopy(record))
        return found

    def put(self, key: RecordKey, record: Record, *, unindexed: Collection[str] = ()) -> None:  # noqa: ARG002
        self.writes[key] = record

    def delete(self, key: RecordKey) -> None:
        self.writes[key] = None


@dataclass(frozen=True, slots=True)
class MemoryQuery:
    """A query over the entries that `MemoryQueries` keeps under a kind."""

    kind: str


class MemoryQueries:
    """Queries in memory: all entries of a kind, in the order in which they were added."""

    def __init__(self) -> None:
        self._positions = itertools.count(1)
        self._kinds: dict[str, dict[int, object]] = {}

    def add(self, kind: str, *entries: object) -> None:
        """Let the queries of a kind find further entries, behind those that are there."""
        self._kinds.setdefault(kind, {}).update(zip(self._positions, entries, strict=False))

    def remove(self, kind: str, entry: object) -> None:
        """Let the queries of a kind find an entry no more."""
        kept = {at: each for at, each in self._kinds[kind].items() if each != entry}
        self._kinds[kind] = kept

    def describe(self, query: object) -> Mapping[str, object]:
        """Return the kind of a `MemoryQuery`."""
        if not isinstance(query, MemoryQuery):
            raise DeclarationError(f"{query!r} is not a MemoryQuery.")
        return {"kind": query.kind}

    def page(self, query: Mapping[str, object], *, cursor: str, limit: int) -> Page:
        """Return a slice of the entries."""
        start = int(cursor or 0)
        behind = [(at, entry) for at, entry in self._entries(query).items() if at > start]
        return Page(
            entries=[entry for _, entry in behind[:limit]],
            cursors=[str(at) for at, _ in behind[:limit]],
            more=len(behind) > limit,
        )

    def count(self, query: Mapping[str, object]) -> int:
        """Return how many entries there are."""
        return len(self._entries(query))

    def _entries(self, query: Mapping[str, object]) -> dict[int, object]:
        return self._kinds.get(str(query["kind"]), {})


class MemoryTransactions:
    """The transactions of a sandbox: what is put in one is written when it ends well."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._open: list[dict[RecordKey, Record]] = []

    @contextmanager
    def begin(self) -> Iterator[object]:
        """Open a transaction; it is rolled back if the block raises."""
        transaction: dict[RecordKey, Record] = {}
        self._open.append(transaction)
        try:
            yield transaction
            for key, record in transaction.items():
                self._store.put(key, record)
        finally:
            self._open.pop()

    def current(self) -> object | None:
        """Return the innermost transaction that is open."""
        return self._open[-1] if self._open else None

    def get(self, transaction: object, key: RecordKey) -> Record | None:
        """Return a record as it is, which nobody changes within a sandbox's thread."""
        if not isinstance(transaction, dict):
            raise DeclarationError(f"{transaction!r} is not a transaction of this sandbox.")
        return self._store.get([key])[0]

    def put(self, transaction: object, key: RecordKey, record: Record) -> None:
        """Keep a record for when the transaction ends."""
        if not isinstance(transaction, dict):
            raise DeclarationError(f"{transaction!r} is not a transaction of this sandbox.")
        transaction[key] = record


class MemoryVerifier:
    """Trusts the tokens that it gave out, and no others."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._given: dict[str, Mapping[str, object]] = {}

    def token(self, email: str, audience: str) -> str:
        """Return a token with the claims that Google's have."""
        now = int(self._clock.now().timestamp())
        claims = {
            "iss": "https://accounts.google.com",
            "aud": audience,
            "email": email,
            "email_verified": True,
            "iat": now,
            "exp": now + 3600,
        }
        payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        token = f"memory.{payload}.{len(self._given)}"
        self._given[token] = claims
        return token

    def verify(self, token: str) -> Mapping[str, object]:
        """Return the claims of a token that was given out."""
        try:
            return self._given[token]
        except KeyError:
            raise UnauthenticatedError("bad signature") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """An application with its outside world in memory."""

    app: App
    clock: FakeClock
    queue: MemoryQueue
    store: MemoryStore
    queries: MemoryQueries
    verifier: MemoryVerifier
    transactions: MemoryTransactions

    def deliver(self, queued: Queued) -> Outcome:
        """Deliver a task once and settle it as Cloud Tasks would; a failed one stays queued."""
        outcome = self._receive(queued)
        if outcome in {Outcome.DONE, Outcome.DEAD}:
            self.queue.delete(queued.name)
        else:
            executed = outcome is not Outcome.TROUBLE
            queued.last_status = outcome.name.lower()
            queued.attempt = Attempt(
                retry_count=queued.attempt.retry_count + 1,
                execution_count=queued.attempt.execution_count + executed,
            )
        return outcome

    def drain(self, limit: int = 1000) -> list[Outcome]:
        """Deliver what is due, and what that enqueues, until nothing is or something fails.

        Raises:
            AssertionError: More than `limit` deliveries were made.
        """
        outcomes: list[Outcome] = []
        while due := self.queue.due():
            if len(outcomes) >= limit:
                raise AssertionError(f"After {limit} deliveries {len(due)} tasks are still due.")
            outcomes.append(self.deliver(due[0]))
            if outcomes[-1] not in {Outcome.DONE, Outcome.DEAD}:
                break
        return outcomes

    def tick(self, cron_name: str = "default", scheduled: dt.datetime | None = None) -> Outcome:
        """Call the cron function as Cloud Scheduler does."""
        delivery = self.delivery(SETTINGS.cron_url, b"", path=f"/{cron_name}")
        return self.app.wiring().receive_tick(delivery._replace(scheduled=scheduled))

    def delivery(self, url: str, body: bytes, path: str = "/") -> Delivery:
        """Return a delivery to one of our functions, with a token that opens it."""
        token = self.verifier.token(SETTINGS.service_account, url)
        return Delivery(authorization=[f"Bearer {token}"], body=body, path=path)

    def _receive(self, queued: Queued) -> Outcome:
        wiring, task = self.app.wiring(), queued.task
        url, receive = {
            Target.DEFERRED: (SETTINGS.deferred_url, wiring.receive_task),
            Target.QUERYITER: (SETTINGS.queryiter_url, wiring.receive_step),
        }[task.target]
        delivery = self.delivery(url, task.body)
        return receive(
            delivery._replace(
                queue=task.queue,
                task_name=queued.name.rsplit("/", 1)[1],
                attempt=queued.attempt,
            )
        )


@contextmanager
def sandbox(app: App) -> Iterator[Sandbox]:
    """Give an application an outside world in memory for a while."""
    clock, store, queries = FakeClock(), MemoryStore(), MemoryQueries()
    queue, verifier = MemoryQueue(clock), MemoryVerifier(clock)
    transactions = MemoryTransactions(store)
    ids = itertools.count(1)
    adapters = Adapters(
        queue=queue,
        store=store,
        queries=queries,
        verifier=verifier,
        transactions=transactions,
        clock=clock,
        new_id=lambda: f"{next(ids):032x}",
        chance=lambda: 0.5,
    )
    with app.rewired(SETTINGS, adapters):
        yield Sandbox(
            app=app,
            clock=clock,
            queue=queue,
            store=store,
            queries=queries,
            verifier=verifier,
            transactions=transactions,
        )
