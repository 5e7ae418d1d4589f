"""Dead letters: the records of tasks that were given up. None is dropped without one."""

from __future__ import annotations

import datetime as dt
import logging
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from adjourn.clock import Clock
from adjourn.error_text import error_line, traceback_text
from adjourn.execution.delivery import Delivery
from adjourn.log import event
from adjourn.names import CallIdentity, digest, digest_of
from adjourn.ports import EntityStore, Record, RecordKey, Transaction
from adjourn.ports.sealer import is_sealed
from adjourn.serialization.payload_reference import MAX_BODY
from adjourn.state.owned_records import FINGERPRINT, own_key

if TYPE_CHECKING:
    from adjourn.execution.dead_letter import DeadLetter

KIND = "AdjournDeadLetter"
KEPT = dt.timedelta(days=90)
UNINDEXED = ("body", "error", "traceback", FINGERPRINT)
# Its values begin with the name of a group and go on with the time, so that the index of this one
# property finds the groups, and in each the first letter, the last one and their number.
GROUP = "group"

# In bytes. Together with a body, they must fit into an entity of 1,048,572
# (https://cloud.google.com/datastore/docs/concepts/limits).
_LONGEST_TRACEBACK = 20_000
_LONGEST_ERROR = 1_000

# What differs between errors of one kind: what is quoted, and words with a digit in them.
_VARIABLE = r"""'[^']*'|"[^"]*"|[^\s0-9]*[0-9]\S*"""
_LONGEST_KIND = 300


def group_of(task: str, error: str) -> str:
    """Return the name of the group of the letters with this task and this kind of error.

    Errors are of one kind if their first lines differ in numbers and quoted texts alone.
    """
    return digest_of(task, re.sub(_VARIABLE, "…", error.partition("\n")[0][:_LONGEST_KIND]))


DeadHook = Callable[["DeadLetter"], object]


@dataclass(kw_only=True, eq=False, repr=False)
class DeadLetterRecorder:
    """Records tasks that were given up, as entities of the kind `AdjournDeadLetter`.

    `expires_at` is meant for a TTL policy (https://cloud.google.com/datastore/docs/ttl).

    Attributes:
        store: Where the records are written.
        clock: The time.
        notify: Called with each dead letter and the hook of its task.
    """

    store: EntityStore
    clock: Clock
    notify: Callable[[DeadLetter, DeadHook | None], object]

    def record(
        self,
        delivery: Delivery,
        error: BaseException,
        *,
        call: CallIdentity | None = None,
        task: str = "",
        attempts: int = 0,
        hook: DeadHook | None = None,
        also: Callable[[Transaction], None] | None = None,
    ) -> None:
        """Record a task that is given up, log it and call the hooks.

        Recording the same call again replaces its record, but never that of another call.

        Args:
            delivery: The last attempt.
            error: Why the task is given up.
            call: Which call it is; if None, the letter is named after the digest of the body.
            task: Registered name of the task; empty if the body cannot be decoded.
            attempts: How often it was tried; if 0, the attempts at the delivered task.
            hook: The hook of the task itself.
            also: Writes what belongs to this end of the call in the same commit.

        Raises:
            StoreError: The record was not written, so the task must not be acknowledged.
        """
        from adjourn.execution.dead_letter import DeadLetter  # noqa: PLC0415 - hardly a call is given up

        call = call or _unreadable(delivery.body)
        letter = DeadLetter(
            task_id=call.id,
            task=task,
            queue=delivery.queue,
            attempts=attempts or delivery.attempt.number,
            error=error_line(error, _LONGEST_ERROR),
        )
        traceback = traceback_text(error, _LONGEST_TRACEBACK)
        record = _record(letter, delivery, traceback, self.clock.now())
        record = {**record, FINGERPRINT: call.fingerprint}
        name = self.store.transact(partial(_put, call, record, also))
        letter = replace(letter, task_id=name)
        text = f"{task or 'A task'} will not be tried again; see dead letter {letter.task_id}"
        fields = {"task": task, "queue": letter.queue, "attempts": letter.attempts}
        event("task.dead", logging.ERROR, text, error=error, task_id=letter.task_id, **fields)
        self.notify(letter, hook)


def _record(letter: DeadLetter, delivery: Delivery, traceback: str, now: dt.datetime) -> Record:
    body = delivery.sealed or delivery.body
    # A seal holds for the task of this name alone.
    name: Record = {"name": delivery.task_name} if is_sealed(body) else {}
    return {
        **name,
        "task": letter.task,
        "queue": letter.queue,
        "attempts": letter.attempts,
        "body": _fitting(body),
        "error": letter.error,
        "traceback": traceback,
        GROUP: f"{group_of(letter.task, letter.error)} {now.astimezone(dt.UTC).isoformat()}",
        "buried_at": now,
        "expires_at": now + KEPT,
    }


def _put(
    call: CallIdentity,
    record: Record,
    also: Callable[[Transaction], None] | None,
    transaction: Transaction,
) -> str:
    """Write a record and return its name."""
    key = RecordKey(KIND, call.id)
    before = transaction.get([key])[0]
    # A letter of an earlier version of adjourn has no fingerprint, and may be of another call.
    if before is not None and before.get(FINGERPRINT) != call.fingerprint:
        key = own_key(KIND, call)
    transaction.put(key, record, unindexed=UNINDEXED)
    if also is not None:
        also(transaction)
    return key.name


def _unreadable(body: bytes) -> CallIdentity:
    content = digest(body)
    return CallIdentity(f"undecodable-{content}", content)


def _fitting(body: bytes) -> bytes:
    """Return a body that fits into an entity; one that we did not write may be too long."""
    return body if len(body) <= MAX_BODY else zlib.compress(body)[:MAX_BODY]
