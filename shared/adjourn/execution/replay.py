"""Dead letters for those who work with them: found, read, run again and thrown away.

A replay enqueues the call before it removes the letter, under a name of that very replay: however
often it is interrupted and repeated, the call is not lost and one task is made of it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from adjourn.clock import Clock
from adjourn.errors import DecodeError, TaskExistsError, UnknownNameError
from adjourn.execution.dead_letters import KIND, UNINDEXED, DeadLetter
from adjourn.names import numbered
from adjourn.ports import EntityStore, NewTask, Record, RecordKey, Target, TaskQueue, Transaction
from adjourn.serialization.codec import Codec, Json
from adjourn.serialization.envelope import Envelope
from adjourn.state.large_payloads import Payloads
from adjourn.state.once import renew


@dataclass(frozen=True, slots=True, kw_only=True)
class Buried(DeadLetter):
    """A dead letter with all that is known of it.

    Attributes:
        body: What the task carried.
        traceback: Of the last error.
        buried_at: When it was given up.
        expires_at: When the record may be removed.
        replayed_at: When a replay began that has not removed the letter yet.
    """

    body: bytes
    traceback: str
    buried_at: dt.datetime
    expires_at: dt.datetime
    replayed_at: dt.datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which dead letters are looked for; None is any.

    Attributes:
        task: Registered name of the task; empty for bodies that could not be read.
        queue: Short name of the queue.
        since: Earliest time of the burial.
        before: Time before which it was.
    """

    task: str | None = None
    queue: str | None = None
    since: dt.datetime | None = None
    before: dt.datetime | None = None

    def includes(self, letter: Buried) -> bool:
        """Tell whether a letter of the right time is wanted."""
        return self.task in {None, letter.task} and self.queue in {None, letter.queue}


@dataclass(kw_only=True, eq=False, repr=False)
class Graveyard:
    """The dead letters of a deployment; the application itself is not needed."""

    store: EntityStore
    queue: TaskQueue
    clock: Clock

    def find(self, wanted: Wanted) -> Iterator[Buried]:
        """Yield the letters that are wanted, the latest first.

        Raises:
            StoreError: Datastore could not be reached.
        """
        # Datastore filters and orders by one property alone, for which there is always an index;
        # with task or queue beside the time it would ask for a composite one that nobody made.
        found = self.store.query(KIND, by="buried_at", since=wanted.since, before=wanted.before)
        letters = (_letter(name, record) for name, record in found)
        return (letter for letter in letters if wanted.includes(letter))

    def get(self, task_id: str) -> Buried:
        """Return one letter.

        Raises:
            UnknownNameError: There is none of that id.
            StoreError: Datastore could not be reached.
        """
        record = self.store.get([RecordKey(KIND, task_id)])[0]
        return _letter(task_id, _existing(task_id, record))

    def replay(self, task_id: str) -> str:
        """Enqueue the call of a letter, remove the letter and return the new task's full name.

        The call keeps its id and arguments, has its attempts before it again and expires no more.

        Raises:
            UnknownNameError: There is no letter of that id.
            DecodeError: The letter holds no call; the message says why. Nothing was done.
            EnqueueError: Cloud Tasks did not accept the task; the letter is kept.
            StoreError: Datastore could not be reached; replay it again.
        """
        letter, call = self.store.transact(partial(self._begin, task_id))
        name = self._enqueue(self._payloads.keep_for(call, self.clock.now()))
        self.store.transact(partial(_remove, letter))
        return name

    def discard(self, task_id: str) -> None:
        """Remove a letter for good.

        Raises:
            UnknownNameError: There is none of that id.
            StoreError: Datastore could not be reached.
        """

        def work(transaction: Transaction) -> Buried:
            key = RecordKey(KIND, task_id)
            record = _existing(task_id, transaction.get([key])[0])
            transaction.delete(key)
            return _letter(task_id, record)

        letter = self.store.transact(work)
        if letter.replayed_at is None:  # else a task may be on its way that needs its payload
            with suppress(DecodeError):
                self._payloads.discard(Envelope.decode(letter.body, _VERBATIM))

    @property
    def _payloads(self) -> Payloads:
        return Payloads(store=self.store, clock=self.clock)

    def _begin(self, task_id: str, transaction: Transaction) -> tuple[Buried, Envelope]:
        """Note that the letter is being replayed, and let a call that was claimed be claimed again.

        Its ledger entry says that it is over. A new id instead would evade the entry, but whatever
        the application or another service keeps under the call's id has to know the call again.
        Both notes are made at once and once for each letter: when a replay is repeated, the entry
        may already say that the replayed call took effect, and that must stand.
        """
        key = RecordKey(KIND, task_id)
        record = _existing(task_id, transaction.get([key])[0])
        now = self.clock.now()
        letter = _letter(task_id, record)
        call = _call(letter, now)
        if letter.replayed_at is None:
            renew(transaction, call.id, now)
            transaction.put(key, {**record, "replayed_at": now}, unindexed=UNINDEXED)
        return letter, call

    def _enqueue(self, call: Envelope) -> str:
        name = f"{numbered(call.id, call.resumed)}-replayed"
        task = NewTask(
            target=Target.DEFERRED,
            label=call.task,
            queue=call.queue,
            body=self._payloads.stow(call, _VERBATIM, None),
            name=name,
            timeout=call.timeout,
            min_backoff=call.min_backoff,
            max_backoff=call.max_backoff,
        )
        try:
            return self.queue.enqueue(task)
        except TaskExistsError:  # this replay was interrupted after it had enqueued
            return self.queue.full_name(call.queue, name)


class _Verbatim(Codec):
    """Passes arguments on as the JSON that they are, so that their types need not be known."""

    def encode(self, value: object, path: str = "value") -> Json:
        is_verbatim = isinstance(value, list | dict)
        return value if is_verbatim else super().encode(value, path)  # type: ignore[return-value]

    def decode(self, tree: Json) -> Any:
        # Of the fields, only the arguments and the like can be a dict of names that hold a "$".
        if isinstance(tree, dict) and "$dict" not in tree and "$" in "".join(tree):
            return super().decode(tree)
        return tree


_VERBATIM = _Verbatim()


def _call(letter: Buried, now: dt.datetime) -> Envelope:
    """Return the call of a letter, to be made again; its arguments stay encoded."""
    try:
        call = Envelope.decode(letter.body, _VERBATIM)
    except DecodeError as error:
        reason = _STEP if letter.task == "step" else f"{error}"
        raise DecodeError(f"{letter.task_id} cannot be replayed: {reason}") from error
    return call._replace(
        queue=call.queue or letter.queue,
        # The hour that a name may be unknown, as while a fix is deployed, counts from the replay.
        eta=now,
        expires_at=None,
        # What got as far as its task was committed, and its marker may be gone by now.
        marker="" if letter.task else call.marker,
        resumed=call.resumed + 1,
        attempts=0,
        executions=0,
    )


_STEP = "it is a step of an iteration whose run is gone; start the iteration again."


def _remove(letter: Buried, transaction: Transaction) -> None:
    """Remove a letter, unless the replayed call has already died and left another one."""
    key = RecordKey(KIND, letter.task_id)
    record = transaction.get([key])[0]
    if record is not None and _letter(letter.task_id, record).body == letter.body:
        transaction.delete(key)


def _existing(task_id: str, record: Record | None) -> Record:
    if record is None:
        raise UnknownNameError(f"There is no dead letter {task_id!r}.")
    return record


def _letter(task_id: str, record: Mapping[str, Any]) -> Buried:
    """Return a letter; one that was changed by hand must not keep the others from being found."""
    buried_at = record.get("buried_at")
    at = buried_at if isinstance(buried_at, dt.datetime) else _UNKNOWN
    told: dict[str, Any] = {
        name: value if type(value := record.get(name)) is type(default) else default
        for name, default in _DEFAULTS.items()
    }
    expires_at = record.get("expires_at")
    return Buried(
        **told,
        task_id=task_id,
        buried_at=at,
        expires_at=expires_at if isinstance(expires_at, dt.datetime) else at,
        replayed_at=record.get("replayed_at"),
    )


_UNKNOWN = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_DEFAULTS: Mapping[str, Any] = {
    "task": "",
    "queue": "",
    "attempts": 0,
    "error": "",
    "body": b"",
    "traceback": "",
}
