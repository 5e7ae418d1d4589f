"""Find, replay and discard dead letters.

A replay enqueues the call before it removes the letter, under a name derived from the call and the
number of its replays. However often it is interrupted and repeated, the call is enqueued once.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from adjourn.clock import Clock
from adjourn.errors import DecodeError, TaskExistsError, UnknownKeyError, UnknownNameError
from adjourn.execution.dead_letters import KIND, UNINDEXED
from adjourn.execution.stored_letters import DeadLetterFilter, StoredDeadLetter, letter_of
from adjourn.names import CALLABLE, numbered
from adjourn.ports import (
    Adapters,
    EntityStore,
    NewTask,
    Record,
    RecordKey,
    Sealer,
    Target,
    TaskQueue,
    Transaction,
)
from adjourn.ports.sealer import is_encrypted, is_sealed, key_of
from adjourn.serialization.codec import Codec
from adjourn.serialization.context import USER, text
from adjourn.serialization.envelope import Envelope
from adjourn.serialization.verbatim import VERBATIM
from adjourn.state import call_records, call_results, once_records
from adjourn.state.large_payloads import LargePayloads


@dataclass(kw_only=True, eq=False, repr=False)
class StoredDeadLetters:
    """The dead letters of a deployment; they can be replayed without the application's code.

    Attributes:
        store: Where they are.
        queue: Where replays go.
        clock: The time.
        sealer: Opens bodies; None without a key.
    """

    store: EntityStore
    queue: TaskQueue
    clock: Clock
    sealer: Sealer | None = None

    @classmethod
    def of(cls, adapters: Adapters) -> StoredDeadLetters:
        """Return the dead letters of a deployment."""
        return cls(
            store=adapters.store,
            queue=adapters.queue,
            clock=adapters.clock,
            sealer=adapters.sealer,
        )

    def find(self, wanted: DeadLetterFilter) -> Iterator[StoredDeadLetter]:
        """Yield the matching letters, the latest first.

        Raises:
            StoreError: Datastore could not be reached.
        """
        # Every property has an index by itself. To filter by task or queue as well, Datastore
        # would need a composite index.
        found = self.store.query(KIND, by="buried_at", since=wanted.since, before=wanted.before)
        letters = (letter_of(name, record) for name, record in found)
        return (letter for letter in letters if wanted.includes(letter))

    def get(self, task_id: str) -> StoredDeadLetter:
        """Return one letter.

        Raises:
            UnknownNameError: There is none with that id.
            StoreError: Datastore could not be reached.
        """
        record = self.store.get([RecordKey(KIND, task_id)])[0]
        return letter_of(task_id, existing(task_id, record))

    def replay(self, task_id: str, *, is_vouched_for: bool = False) -> str:
        """Enqueue the call of a letter, remove the letter and return the new task's full name.

        The call keeps its id and arguments. Its attempts are counted anew, and it does not expire.

        Args:
            task_id: The name of the letter.
            is_vouched_for: Whether to take the call for genuine that cannot prove it: one without
                a seal where seals are required, or of a callable task without a record that a
                user has started it.

        Raises:
            UnknownNameError: There is no letter with that id.
            DecodeError: The letter holds no call; the message says why. Nothing was changed.
            EnqueueError: Cloud Tasks did not accept the task; the letter is kept.
            StoreError: Datastore could not be reached; repeat the replay.
        """
        begin = partial(self._begin, task_id, is_vouched_for=is_vouched_for)
        letter, call = self.store.transact(begin)
        extended = self._payloads.extend_for(call, self.clock.now())
        name = self._enqueue(self._vouched_for(extended) if is_vouched_for else extended)
        self.store.transact(partial(_remove, letter))
        return name

    def discard(self, task_id: str) -> None:
        """Delete a letter.

        Raises:
            UnknownNameError: There is none with that id.
            StoreError: Datastore could not be reached.
        """

        def work(transaction: Transaction) -> StoredDeadLetter:
            key = RecordKey(KIND, task_id)
            record = existing(task_id, transaction.get([key])[0])
            transaction.delete(key)
            return letter_of(task_id, record)

        letter = self.store.transact(work)
        if letter.replayed_at is None:  # else a replayed task may need its payload
            with suppress(DecodeError):
                call = Envelope.decode(self.opened(letter), VERBATIM)
                self._payloads.discard(call, is_read=False)

    def opened(self, letter: StoredDeadLetter) -> bytes:
        """Return the body of a letter without its seal.

        Raises:
            DecodeError: The seal does not hold, or its key is not known here.
        """
        if not is_sealed(letter.body):
            return letter.body
        if self.sealer is None:
            raise UnknownKeyError(
                f"{letter.task_id} is sealed with the key {key_of(letter.body)}; set"
                " ADJOURN_ENVELOPE_KEY"
            )
        return self.sealer.open(letter.body, letter.queue, letter.name)

    @property
    def _payloads(self) -> LargePayloads:
        return LargePayloads(store=self.store, clock=self.clock, sealer=self.sealer)

    def _begin(
        self, task_id: str, transaction: Transaction, *, is_vouched_for: bool
    ) -> tuple[StoredDeadLetter, Envelope]:
        """Mark the letter as being replayed, and allow its call to be claimed again.

        The once record says that the call is over. The call could evade it by a new id, but the
        application or another service may know the call by its id. Both are written in one
        transaction, and only by the first of repeated replays: later, the once record may already
        say that the replayed call has taken effect, which must stay.
        """
        key = RecordKey(KIND, task_id)
        record = existing(task_id, transaction.get([key])[0])
        now = self.clock.now()
        letter = letter_of(task_id, record)
        call = _call(letter, self.genuine(letter, is_vouched_for=is_vouched_for), now)
        if letter.replayed_at is None:
            once_records.renew(transaction, call.identity, now)
            task = self.queue.full_name(call.queue, _name(call))
            call_records.renew(transaction, call.identity, call.resumed, task, now)
            _reopen(transaction, call)
            if call.keep_result is not None:
                call_results.renew(transaction, call.identity)
            transaction.put(key, {**record, "replayed_at": now}, unindexed=UNINDEXED)
        return letter, call

    def genuine(self, letter: StoredDeadLetter, *, is_vouched_for: bool) -> bytes:
        """Return the body of a letter without its seal, for its replay, which seals it.

        Raises:
            DecodeError: It cannot prove to be genuine, or would lose its encryption.
        """
        is_required = self.sealer is not None and self.sealer.is_required
        if is_required and not is_vouched_for and not is_sealed(letter.body):
            raise DecodeError(
                f"{letter.task_id} is not sealed, so anybody may have made it; if you trust it,"
                " replay it with --vouch"
            )
        opened = self.opened(letter)
        is_encrypting = self.sealer is not None and self.sealer.is_encrypting
        if is_sealed(letter.body) and is_encrypted(letter.body) and not is_encrypting:
            raise DecodeError(
                f"{letter.task_id} is encrypted, and its replay would not be; set"
                " ADJOURN_ENVELOPE_SEAL=encrypted"
            )
        return opened

    def _vouched_for(self, call: Envelope) -> Envelope:
        """Return a call with a record that its user has started it, if it needs one."""
        if not call.task.startswith(CALLABLE):
            return call
        from adjourn.state.user_starts import UserStarts, content_of  # noqa: PLC0415 - rarely needed

        whole, codec = self._payloads.fetch(call, VERBATIM), Codec()  # users give JSON
        arguments: Any = {"args": list(whole.args), "kwargs": dict(whole.kwargs)}
        args, kwargs = codec.decode(arguments).values()
        content = content_of(call.task, text(call.context, USER) or "", tuple(args), kwargs)
        starts = UserStarts(store=self.store, clock=self.clock, new_id=lambda: uuid.uuid4().hex)
        return call._replace(user_start=starts.put(content, None))

    def _enqueue(self, call: Envelope) -> str:
        name = _name(call)
        task = NewTask(
            target=Target.DEFERRED,
            label=call.task,
            queue=call.queue,
            body=self._payloads.body_for(call, VERBATIM, None),
            name=name,
            timeout=call.timeout,
            min_backoff=call.min_backoff,
            max_backoff=call.max_backoff,
        )
        try:
            return self.queue.enqueue(task)
        except TaskExistsError:  # an interrupted replay has already enqueued it
            return self.queue.full_name(call.queue, name)


def _reopen(transaction: Transaction, call: Envelope) -> None:
    """Let a batch wait for a call again."""
    if call.batch:
        from adjourn.batches.ends import reopen  # noqa: PLC0415 - for children of batches
        from adjourn.batches.place import Place  # noqa: PLC0415

        if place := Place.of(call.batch):
            reopen(transaction, place)


def _name(call: Envelope) -> str:
    return f"{numbered(call.identity.fingerprint, call.resumed)}-replayed"


def _call(letter: StoredDeadLetter, body: bytes, now: dt.datetime) -> Envelope:
    """Return the call of a letter for its replay; its arguments stay encoded."""
    try:
        call = Envelope.decode(body, VERBATIM)
    except DecodeError as error:
        reason = _STEP if letter.task == "step" else f"{error}"
        raise DecodeError(f"{letter.task_id} cannot be replayed: {reason}") from error
    return call._replace(
        queue=letter.queue or call.queue,
        # The hour for which an unknown name is retried is counted from here.
        eta=now,
        expires_at=None,
        # A call that came to run was committed, and its marker may have expired since.
        marker="" if letter.task else call.marker,
        resumed=call.resumed + 1,
        attempts=0,
        executions=0,
        starts_at=now,
        hops_at=None,
        waiting_since=None,
    )


_STEP = "it is a step of an iteration whose run is gone; start the iteration again."


def _remove(letter: StoredDeadLetter, transaction: Transaction) -> None:
    """Delete a letter, unless the replayed call has already left another one."""
    key = RecordKey(KIND, letter.task_id)
    record = transaction.get([key])[0]
    if record is not None and letter_of(letter.task_id, record).body == letter.body:
        transaction.delete(key)


def existing(task_id: str, record: Record | None) -> Record:
    """Return the record of a dead letter.

    Raises:
        UnknownNameError: There is none.
    """
    if record is None:
        raise UnknownNameError(f"There is no dead letter {task_id!r}.")
    return record
