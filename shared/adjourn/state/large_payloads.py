"""Calls that are too big for a task: their bodies wait in Datastore, and the task says where.

All pieces are written before the task is created. They are written and read in threads of their
own, which takes them out of a transaction that the caller has open: in it they would exceed what a
transaction may hold.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from adjourn.clock import Clock
from adjourn.concurrency import in_parallel
from adjourn.errors import AdjournError, DecodeError, EncodeError, StoreError, UnavailableError
from adjourn.log import event
from adjourn.names import digest
from adjourn.ports import EntityStore, Record, RecordKey, Transaction
from adjourn.serialization.codec import Codec
from adjourn.serialization.envelope import MAX_BODY, Envelope, Stowed

T = TypeVar("T")

KIND = "AdjournPayload"
# A task lives 31 days after its start at most (https://cloud.google.com/tasks/docs/quotas).
LIFE = dt.timedelta(days=31)
KEPT = dt.timedelta(days=33)

# An entity may have 1,048,572 bytes (https://cloud.google.com/datastore/docs/concepts/limits).
_PIECE = 1_000_000


def pieces(body: bytes) -> list[bytes]:
    """Return a body in parts, each of which fits into an entity."""
    return [body[start : start + _PIECE] for start in range(0, len(body), _PIECE)]


def joined(records: list[Record | None], stowed: Stowed) -> bytes:
    """Return the body that was cut into these records.

    Raises:
        DecodeError: It is not what was stowed; the message says in what it differs.
    """
    gone = [number for number, record in enumerate(records, 1) if record is None]
    if gone:
        raise DecodeError(
            f"piece {gone[0]} of the {stowed.pieces} of its payload is not in Datastore (kind"
            f" {KIND}): the call has ended before, or its payload has expired or was deleted"
        )
    body = b"".join(data for each in records if each and isinstance(data := each["data"], bytes))
    if len(body) != stowed.size or digest(body, 64) != stowed.sha256:
        raise DecodeError(
            f"its payload in Datastore (kind {KIND}) was changed: it has {len(body):,} bytes of"
            f" {stowed.size:,}, or others than were written"
        )
    return body


@dataclass(kw_only=True, eq=False, repr=False)
class Payloads:
    """The bodies of calls that no task can carry, in pieces under the kind `AdjournPayload`.

    For all other calls nothing is done. `expires_at` is meant for a TTL policy.
    """

    store: EntityStore
    clock: Clock

    def stow(self, envelope: Envelope, codec: Codec, start: dt.datetime | None) -> bytes:
        """Return the body of a task with this start for a call, having written what is too big.

        Raises:
            EncodeError: An argument cannot be carried, or the call is too big even so.
            UnavailableError: Datastore did not take the pieces.
        """
        body = envelope.encode(codec)
        if len(body) <= MAX_BODY:
            return body
        until = max(start or self.clock.now(), self.clock.now()) + KEPT
        reference = envelope._replace(stowed=_stowed(body, until)).encode(codec)
        if envelope.stowed or len(reference) > MAX_BODY:
            raise EncodeError(
                f"what goes along with the call of {envelope.task} takes {len(reference):,} bytes"
                f" without its arguments and may take {MAX_BODY:,}"
            )
        try:
            self.write(envelope.id, body, until)
        except StoreError as error:
            raise UnavailableError(f"The arguments could not be kept: {error}") from error
        return reference

    def write(self, name: str, body: bytes, until: dt.datetime) -> Stowed:
        """Write bytes in pieces and return where they are.

        Raises:
            StoreError: Datastore did not take them.
        """
        stowed, parts = _stowed(body, until), pieces(body)

        def write(key: RecordKey, part: bytes) -> None:
            self.store.put(key, {"data": part, "expires_at": until}, unindexed=("data",))

        _at_once(map(partial, [write] * len(parts), _keys(name, len(parts)), parts))
        return stowed

    def read(self, name: str, stowed: Stowed) -> bytes:
        """Return bytes that were written.

        Raises:
            DecodeError: They are gone or are not what was written.
            StoreError: Datastore could not be reached.
        """
        # One at a time: a gRPC client takes answers of 4 MiB unless told otherwise.
        records = _at_once(partial(self.store.get, [key]) for key in _keys(name, stowed.pieces))
        return joined([found[0] for found in records], stowed)

    def fetch(self, envelope: Envelope, codec: Codec) -> Envelope:
        """Return a call with its arguments.

        Raises:
            DecodeError: They are gone, are not what was stowed or cannot be read.
            StoreError: Datastore could not be reached.
        """
        stowed = envelope.stowed
        if stowed is None:
            return envelope
        whole = Envelope.decode(self.read(envelope.id, stowed), codec)
        return envelope._replace(args=whole.args, kwargs=whole.kwargs)

    def discard(self, envelope: Envelope) -> None:
        """Remove what was kept for a call; if that fails, the TTL policy is left to do it."""
        if envelope.stowed:
            self.remove(envelope.id, envelope.stowed)

    def remove(self, name: str, stowed: Stowed) -> None:
        """Remove bytes that were written; if that fails, the TTL policy is left to do it."""

        def remove(key: RecordKey, transaction: Transaction) -> None:
            transaction.delete(key)

        try:
            self._transact(remove, name, stowed)
        except AdjournError as error:
            text = f"The payload {name} was not deleted; it expires"
            event("payload.kept", logging.WARNING, text, error=error)

    def keep(self, envelope: Envelope, until: dt.datetime) -> Envelope:
        """Keep what was stowed for a call at least until then; return the call that says so.

        Raises:
            StoreError: Datastore could not be reached.
        """
        stowed = envelope.stowed
        if stowed is None:
            return envelope

        def prolong(key: RecordKey, transaction: Transaction) -> None:
            record = transaction.get([key])[0]
            expires = record and record["expires_at"]
            if record and isinstance(expires, dt.datetime) and expires < until:
                transaction.put(key, {**record, "expires_at": until}, unindexed=("data",))

        self._transact(prolong, envelope.id, stowed)
        latest = max(stowed.until, int(until.timestamp()))
        return envelope._replace(stowed=stowed._replace(until=latest))

    def keep_for(self, envelope: Envelope, start: dt.datetime) -> Envelope:
        """Keep what was stowed for as long as a task with this start can live, as `keep` does."""
        stowed = envelope.stowed
        if stowed is None or stowed.until >= (start + LIFE).timestamp():
            return envelope
        return self.keep(envelope, start + KEPT)

    def _transact(
        self, work: Callable[[RecordKey, Transaction], None], call: str, stowed: Stowed
    ) -> None:
        """Do the work for each piece in a transaction of its own, since one may have 10 MiB."""
        keys = _keys(call, stowed.pieces)
        _at_once(partial(self.store.transact, partial(work, key)) for key in keys)


def _stowed(body: bytes, until: dt.datetime) -> Stowed:
    return Stowed(
        pieces=len(pieces(body)),
        size=len(body),
        sha256=digest(body, 64),
        until=int(until.timestamp()),
    )


def _keys(call: str, count: int) -> list[RecordKey]:
    return [RecordKey(KIND, f"{call}-{number}") for number in range(1, count + 1)]


def _at_once(steps: Iterable[Callable[[], T]]) -> list[T]:
    """Return what the steps return, in order, after all of them."""
    return in_parallel(lambda step: step(), list(steps))
