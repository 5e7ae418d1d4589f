"""Unique records: of all equal calls in a period, one is enqueued.

Equal calls share a task name, and Cloud Tasks refuses the second. It guarantees this for an hour
after the task has ended; for longer periods there is also a record in Datastore. A run notes there
that it has begun, so that a task that is gone without having run prevents no other.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from adjourn.clock import Clock
from adjourn.ports import EntityStore, RecordKey, TaskQueue, Transaction

KIND = "AdjournUnique"

# Google documents an hour in one place and "up to 24 hours" in another (v2beta3
# Queue.tombstone_ttl and CreateTaskRequest). Only the hour can be relied on.
NAMES_LAST = dt.timedelta(hours=1)
_UNINDEXED = ("is_enqueued", "has_begun", "generation", "task")

Until = Literal["begun", "done"]


class UniqueCall(NamedTuple):
    """What makes a call unique.

    Attributes:
        name: The task name that all equal calls in the present period share.
        former_name: The name by which earlier versions of adjourn knew this call.
        queue: Short name of its queue.
        lasts: For how long it prevents others.
        until: What lets the next one be made before that; None for nothing.
    """

    name: str
    former_name: str
    queue: str
    lasts: dt.timedelta
    until: Until | None

    @property
    def is_recorded(self) -> bool:
        """Whether Cloud Tasks may forget the name too early."""
        return self.lasts > NAMES_LAST


class Admission(NamedTuple):
    """Whether a unique call may be made.

    Attributes:
        is_granted: Whether it may.
        name: The short name for its task; if it may not, the full name of the task that is there.
    """

    is_granted: bool
    name: str


class UniqueRecord(NamedTuple):
    """The record of a unique call.

    Attributes:
        is_enqueued: Whether a task is known to have been created.
        has_begun: Whether the call was run, or may have been.
        generation: How many tasks of the period were made before, and prevent nothing any more.
        task: Full name of the task; "" for the one that is named after the call. Only that task
            may change the record.
        expires_at: When the record may be removed; meant for a TTL policy.
    """

    is_enqueued: bool
    has_begun: bool
    generation: int
    task: str
    expires_at: dt.datetime


def is_duplicate(record: UniqueRecord, until: Until | None, *, is_live: bool) -> bool:
    """Decide whether a call with this record prevents an equal one.

    Args:
        record: The record.
        until: What lets the next one be made.
        is_live: Whether its task is there.
    """
    if until == "begun":
        return is_live and not record.has_begun
    return is_live or (until is None and record.has_begun)


@dataclass(kw_only=True, eq=False, repr=False)
class UniqueCalls:
    """The records of unique calls, of the kind `AdjournUnique`.

    For a period over an hour the record is written before the call is enqueued, and marked
    afterwards. If the process crashes in between, the next equal call gets the same name. For
    others a run writes it.
    """

    store: EntityStore
    clock: Clock
    queue: TaskQueue

    def admit(self, call: UniqueCall) -> Admission:
        """Decide whether a call may be made, as far as that is known without its name.

        Raises:
            StoreError: Datastore could not be reached; nothing was written.
            UnavailableError: Cloud Tasks could not be reached.
        """
        if call.former_name != call.name:
            former = self._full_name(call, call.former_name)
            record = self._read(call.former_name) if call.is_recorded else None
            if (record and record.is_enqueued) or self.queue.fetch(former) is not None:
                return Admission(is_granted=False, name=former)
        if not call.is_recorded:
            return Admission(is_granted=True, name=call.name)
        first = self._first(call)
        record = self._change(
            call.name,
            lambda present: present._replace(task=present.task or first.task) if present else first,
        )
        if record.is_enqueued:
            return self.admit_taken(call, "")
        return Admission(is_granted=True, name=_numbered(call.name, record.generation))

    def admit_taken(self, call: UniqueCall, taken: str) -> Admission:
        """Decide whether a call may be made although a task of its name exists, or did.

        Args:
            call: The call.
            taken: The short name that is taken.

        Raises:
            StoreError: Datastore could not be reached; nothing was written.
            UnavailableError: Cloud Tasks could not be reached.
        """
        seen = self._read(call.name) or self._first(call)
        name = _numbered(call.name, seen.generation)
        if not seen.is_enqueued and name != taken:
            return Admission(is_granted=True, name=name)
        task = seen.task or self._full_name(call, name)
        if is_duplicate(seen, call.until, is_live=self.queue.fetch(task) is not None):
            return Admission(is_granted=False, name=task)

        def change(present: UniqueRecord | None) -> UniqueRecord:
            record = present or self._first(call)
            # Meanwhile another call may have become the next; its name makes this one a duplicate.
            if record.generation > seen.generation:
                return record
            return self._first(call, seen.generation + 1)

        record = self._change(call.name, change)
        return Admission(is_granted=True, name=_numbered(call.name, record.generation))

    def mark_enqueued(self, call: UniqueCall, name: str, task: str) -> None:
        """Record that a call was enqueued.

        Args:
            call: The call.
            name: Short name of its task.
            task: Full name of its task, which may be in another region.

        Raises:
            StoreError: Datastore could not be reached; the next equal call gets the same name.
        """
        if call.is_recorded or name != call.name:
            self._note(name, lambda _: True, is_enqueued=True, task=task)

    def begin(self, name: str, is_by: Callable[[str], bool]) -> None:
        """Record that a call runs.

        Args:
            name: What the task says that it is recorded as.
            is_by: Whether it runs as the task of this full or short name; else nothing is changed.

        Raises:
            StoreError: Datastore could not be reached; the call must not run.
        """
        self._note(name, is_by, is_enqueued=True, has_begun=True)

    def follow(self, name: str, task: str, is_by: Callable[[str], bool]) -> None:
        """Record that a call goes on as another task; see `begin`.

        Raises:
            StoreError: Datastore could not be reached.
        """
        self._note(name, is_by, is_enqueued=True, task=task)

    def release(self, call: UniqueCall) -> None:
        """Let an equal call be made, since the present one was cancelled.

        Raises:
            StoreError: Datastore could not be reached; the task is gone.
        """
        if self._read(call.name) is not None:
            first = self._first(call)
            self._change(call.name, lambda present: (present or first)._replace(has_begun=False))

    def _note(self, name: str, is_by: Callable[[str], bool], **changes: Any) -> None:
        """Change the record of a call, unless another call or task has followed."""
        present = self._read(_base(name))
        empty = self._empty(self.clock.now() + 2 * NAMES_LAST)
        # If it lasts longer than that, there is a record before there is a task.
        changes |= {} if present else {"is_enqueued": False}

        def change(present: UniqueRecord | None) -> UniqueRecord:
            record = present or empty
            is_own = _numbered(_base(name), record.generation) == name
            return record._replace(**changes) if is_own and is_by(record.task or name) else record

        if change(present) != (present or empty):
            self._change(_base(name), change)

    def _read(self, name: str) -> UniqueRecord | None:
        return _record(self.store.get([RecordKey(KIND, name)])[0])

    def _change(
        self, name: str, change: Callable[[UniqueRecord | None], UniqueRecord]
    ) -> UniqueRecord:
        key = RecordKey(KIND, name)

        def work(transaction: Transaction) -> UniqueRecord:
            before = _record(transaction.get([key])[0])
            after = change(before)
            if after != before:
                transaction.put(key, after._asdict(), unindexed=_UNINDEXED)
            return after

        return self.store.transact(work)

    def _first(self, call: UniqueCall, generation: int = 0) -> UniqueRecord:
        empty = self._empty(self.clock.now() + call.lasts + NAMES_LAST)
        task = self._full_name(call, _numbered(call.name, generation))
        return empty._replace(generation=generation, task=task)

    def _empty(self, expires_at: dt.datetime) -> UniqueRecord:
        return UniqueRecord(
            is_enqueued=False, has_begun=False, generation=0, task="", expires_at=expires_at
        )

    def _full_name(self, call: UniqueCall, name: str) -> str:
        return self.queue.full_name(call.queue, name)


def _numbered(name: str, generation: int) -> str:
    return f"{name}-{generation}" if generation else name


def _base(name: str) -> str:
    return name.partition("-")[0]


def _record(record: Mapping[str, Any] | None) -> UniqueRecord | None:
    if record is None:
        return None
    return UniqueRecord(
        is_enqueued=record["is_enqueued"],
        # Earlier versions of adjourn did not note whether a call had begun.
        has_begun=record.get("has_begun", record["is_enqueued"]),
        generation=record.get("generation", 0),
        task=record.get("task", ""),
        expires_at=record["expires_at"],
    )
