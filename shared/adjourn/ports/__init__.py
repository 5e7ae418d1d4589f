"""What the core asks of the outside world, in our own types.

Internal seams, not for implementing: they change when the core needs something else. Each has an
adapter in `adjourn.gcp` and an in-memory twin in `adjourn.testing`; one contract suite runs against
both.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, TypeVar

from adjourn.clock import Clock
from adjourn.concurrency import ahead, is_stopping, repeating
from adjourn.errors import EnqueueError
from adjourn.ports.query_source import QuerySource

T = TypeVar("T")


class Target(StrEnum):
    """Which of our functions a task is delivered to."""

    DEFERRED = "deferred"
    QUERYITER = "queryiter"


class NewTask(NamedTuple):
    """A task to be put on a queue."""

    target: Target
    label: str  # ends the URL, for people who read request logs; nobody relies on it
    queue: str
    body: bytes
    name: str | None = None
    eta: dt.datetime | None = None
    timeout: dt.timedelta | None = None
    min_backoff: dt.timedelta | None = None
    max_backoff: dt.timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState:
    """How a task stands that has not finished.

    Attributes:
        attempts: Attempts so far, one that runs included.
        last_status: What Cloud Tasks says of the last attempt that was answered; "" if none was.
        next_start: Earliest time of the next attempt.
    """

    attempts: int
    last_status: str
    next_start: dt.datetime


class TaskQueue(Protocol):
    """Cloud Tasks, as far as we need it."""

    def enqueue(self, task: NewTask) -> str:
        """Put a task on its queue and return its full name.

        A task with a name is never there twice, however often creating it had to be tried.

        Raises:
            TaskExistsError: A task of that name exists, or did until recently.
            QueueNotFoundError: The queue does not exist.
            UnavailableError: The service could not be reached in time; the task may be there.
            EnqueueError: The service refused the task.
        """

    def enqueue_many(self, tasks: Sequence[NewTask]) -> list[str | EnqueueError]:
        """Put tasks on their queues; return what `enqueue` returns or raises for each, in order."""

    def full_name(self, queue: str, name: str) -> str:
        """Return the name by which the service knows the task `name` of `queue`."""

    def fetch(self, full_name: str) -> TaskState | None:
        """Return how a task stands, None if there is none that has not finished."""

    def delete(self, full_name: str) -> bool:
        """Delete a task that has not finished; False if there is none."""


class RecordKey(NamedTuple):
    """The key of one of our own entities."""

    kind: str
    name: str


Value = None | bool | int | float | str | bytes | dt.datetime
Record = Mapping[str, Value]


class Versioned(NamedTuple):
    """A record and the number that any change of it raises.

    Writing what is stored already changes nothing, and leaves the version as it is.
    """

    record: Record
    version: int


class Transaction(Protocol):
    """Reads and writes that take effect together or not at all."""

    def get(self, keys: Sequence[RecordKey]) -> list[Record | None]:
        """Return the records as they were when the transaction began, None where missing."""

    def read(self, keys: Sequence[RecordKey]) -> list[Versioned | None]:
        """Return what `get` does, with the versions."""

    def put(self, key: RecordKey, record: Record, *, unindexed: Collection[str] = ()) -> None:
        """Write a record when the transaction commits."""

    def delete(self, key: RecordKey) -> None:
        """Remove a record, if it is there, when the transaction commits."""


class EntityStore(Protocol):
    """Datastore, as far as we keep state of our own in it."""

    def get(self, keys: Sequence[RecordKey]) -> list[Record | None]:
        """Return the records in the order of their keys, None where missing.

        Raises:
            StoreError: Datastore could not be reached or refused.
        """

    def put(self, key: RecordKey, record: Record, *, unindexed: Collection[str] = ()) -> None:
        """Write a record at once.

        Raises:
            StoreError: Datastore could not be reached or refused.
        """

    def read(self, keys: Sequence[RecordKey]) -> list[Versioned | None]:
        """Return what `get` does, with the versions.

        Raises:
            StoreError: Datastore could not be reached or refused.
        """

    def replace(
        self, key: RecordKey, record: Record, *, version: int, unindexed: Collection[str] = ()
    ) -> int:
        """Write a record if the one that is stored has this version; return the new version.

        When the answer is lost, the record may have been written: a repetition then meets a
        conflict with itself, which must do no harm.

        Raises:
            ConflictError: The stored record has another version, or is gone.
            StoreError: Datastore could not be reached or refused.
        """

    def put_many(
        self, records: Mapping[RecordKey, Record], *, unindexed: Collection[str] = ()
    ) -> None:
        """Write records at once, in as few commits as there can be; each is whole, or not done.

        Raises:
            StoreError: Datastore could not be reached or refused; some may have been written.
        """

    def delete_many(self, keys: Sequence[RecordKey]) -> None:
        """Remove the records that are there, in as few commits as there can be.

        Raises:
            StoreError: Datastore could not be reached or refused; some may be gone.
        """

    def query(
        self,
        kind: str,
        *,
        by: str,
        since: dt.datetime | None = None,
        before: dt.datetime | None = None,
    ) -> Iterator[tuple[str, Record]]:
        """Yield names and records of a kind, those with the latest time in the property `by` first.

        Records without that property are left out. They are fetched as they are asked for.

        Raises:
            StoreError: Datastore could not be reached or refused.
        """

    def transact(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a transaction, again if another one interfered, and return its result.

        Raises:
            ConflictError: Others kept interfering.
            StoreError: Datastore could not be reached or refused.
        """


class TransactionGuard(Protocol):
    """The transactions of users, as far as calls are made in them."""

    def current(self) -> object | None:
        """Return the transaction in which this thread is, None if it is in none."""

    def get(self, transaction: object, key: RecordKey) -> Record | None:
        """Return a record as a transaction sees it, which fails if it changes meanwhile.

        Raises:
            DeclarationError: It is no transaction of the settings' project and database.
        """

    def put(self, transaction: object, key: RecordKey, record: Record) -> None:
        """Let a record be written with a transaction, or not at all.

        Raises:
            DeclarationError: It is no transaction of the settings' project and database.
        """


class TokenVerifier(Protocol):
    """Whoever can tell whether a token was signed by Google."""

    def verify(self, token: str) -> Mapping[str, object]:
        """Return the claims of a token whose signature is right.

        Raises:
            UnauthenticatedError: It is not.
            KeysUnavailableError: The keys could not be fetched.
        """


@dataclass(kw_only=True, eq=False, repr=False)
class Adapters:
    """The outside world, whole."""

    queue: TaskQueue
    store: EntityStore
    queries: QuerySource
    verifier: TokenVerifier
    transactions: TransactionGuard
    clock: Clock
    new_id: Callable[[], str]
    chance: Callable[[], float]
    ahead: Callable[[Callable[[], Any]], Callable[[], Any]] = ahead
    is_stopping: Callable[[], bool] = is_stopping
    repeating: Callable[[float, Callable[[], object]], AbstractContextManager[None]] = repeating
