"""Large payloads: the body of a call that is too large for a task is stored in Datastore.

The body is split into parts, which are all written before the task is created; the task holds a
reference. Parts are read and written in other threads, outside any transaction that the caller has
open, because they would exceed the size limit of a transaction.
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
from adjourn.errors import (
    AdjournError,
    DecodeError,
    EncodeError,
    StoreError,
    UnavailableError,
    UnknownKeyError,
)
from adjourn.log import event
from adjourn.names import digest
from adjourn.ports import EntityStore, Record, RecordKey, Sealer, Transaction
from adjourn.ports.sealer import is_sealed, key_of
from adjourn.serialization.budget import OF_PAYLOAD
from adjourn.serialization.codec import Codec
from adjourn.serialization.envelope import Envelope
from adjourn.serialization.payload_reference import MAX_BODY, PayloadReference

T = TypeVar("T")

KIND = "AdjournPayload"
# A task lives 31 days after its start at most (https://cloud.google.com/tasks/docs/quotas).
LIFE = dt.timedelta(days=31)
KEPT = dt.timedelta(days=33)

# An entity may have 1,048,572 bytes (https://cloud.google.com/datastore/docs/concepts/limits).
_PART_SIZE = 1_000_000  # bytes


def parts(body: bytes) -> list[bytes]:
    """Return a body split into parts, each of which fits into an entity."""
    return [body[start : start + _PART_SIZE] for start in range(0, len(body), _PART_SIZE)]


def joined(records: list[Record | None], reference: PayloadReference) -> bytes:
    """Return the body that was split among these records.

    Raises:
        DecodeError: A record is missing or was changed; the message says which.
    """
    missing = [number for number, record in enumerate(records, 1) if record is None]
    if missing:
        raise DecodeError(
            f"part {missing[0]} of {reference.pieces} of its payload is missing in Datastore (kind"
            f" {KIND}): the call has already ended, or its payload has expired or was deleted"
        )
    body = b"".join(data for each in records if each and isinstance(data := each["data"], bytes))
    if len(body) != reference.size or digest(body, 64) != reference.sha256:
        raise DecodeError(
            f"its payload in Datastore (kind {KIND}) was changed: it has {len(body):,} bytes,"
            f" {reference.size:,} were written, or their digest differs"
        )
    return body


@dataclass(kw_only=True, eq=False, repr=False)
class LargePayloads:
    """The stored bodies of calls that are too large for a task, of the kind `AdjournPayload`.

    `expires_at` is meant for a TTL policy.

    Attributes:
        store: Where the bodies are.
        clock: The time.
        sealer: Encrypts the bodies of calls, if it encrypts; None without a key.
    """

    store: EntityStore
    clock: Clock
    sealer: Sealer | None = None

    def body_for(self, envelope: Envelope, codec: Codec, start: dt.datetime | None) -> bytes:
        """Return the body of the task for a call; store the call's own body if it is too large.

        Args:
            envelope: The call.
            codec: Encodes its arguments.
            start: Earliest start of the task; None for at once.

        Raises:
            EncodeError: An argument cannot be encoded, or the call is too large to be stored.
            UnavailableError: Datastore could not store the body.
        """
        body, is_small = envelope.encode_within(codec)
        if is_small:
            return body
        until = max(start or self.clock.now(), self.clock.now()) + KEPT
        # Under the id of a call that was delivered, that of another call may be stored.
        name = envelope.resumed_name if envelope.resumed else ""
        stored = self._sealed(name or envelope.id, body)
        stowed = _reference(stored, until)._replace(stored_as=name)
        reference = envelope._replace(stowed=stowed).encode(codec)
        if envelope.stowed or len(reference) > MAX_BODY:
            raise EncodeError(
                f"the call of {envelope.task} takes {len(reference):,} bytes without its arguments"
                f" and may take {MAX_BODY:,}; let the application add less to its context"
            )
        try:
            self.write(name or envelope.id, stored, until)
        except StoreError as error:
            raise UnavailableError(f"The arguments could not be stored: {error}") from error
        return reference

    def write(self, name: str, body: bytes, until: dt.datetime) -> PayloadReference:
        """Store bytes in parts and return the reference to them.

        Raises:
            StoreError: Datastore could not store them.
        """
        written = parts(body)

        def write(key: RecordKey, part: bytes) -> None:
            self.store.put(key, {"data": part, "expires_at": until}, unindexed=("data",))

        _run_all(map(partial, [write] * len(written), _keys(name, len(written)), written))
        return _reference(body, until)

    def read(self, name: str, reference: PayloadReference) -> bytes:
        """Return stored bytes.

        Raises:
            DecodeError: They are missing or were changed.
            StoreError: Datastore could not be reached.
        """
        # One by one, because a gRPC client accepts replies up to 4 MiB by default.
        keys = _keys(name, reference.pieces)
        records = _run_all(partial(self.store.get, [key]) for key in keys)
        return joined([found[0] for found in records], reference)

    def fetch(self, envelope: Envelope, codec: Codec) -> Envelope:
        """Return a call with its arguments.

        Raises:
            DecodeError: They are missing, were changed or cannot be decoded.
            StoreError: Datastore could not be reached.
        """
        if envelope.stowed is None:
            return envelope
        name, reference = _place(envelope, envelope.stowed)
        body = self._opened(name, self.read(name, reference))
        whole = Envelope.decode(body, codec, OF_PAYLOAD)
        return envelope._replace(args=whole.args, kwargs=whole.kwargs)

    def discard(self, envelope: Envelope, *, is_read: bool) -> None:
        """Remove the stored body of a call, if any; if that fails, it expires.

        Args:
            envelope: The call.
            is_read: Whether it was read just now. Else its digest is compared before, since the
                body of another call may be stored under the same name.
        """
        if envelope.stowed is None:
            return
        place = _place(envelope, envelope.stowed)
        try:
            if not is_read:
                self.read(*place)
        except (DecodeError, StoreError) as error:
            _tell_kept(envelope.id, error)
        else:
            self.remove(*place)

    def remove(self, name: str, reference: PayloadReference) -> None:
        """Remove stored bytes; if that fails, they expire."""

        def remove(key: RecordKey, transaction: Transaction) -> None:
            transaction.delete(key)

        try:
            self._transact(remove, name, reference)
        except AdjournError as error:
            _tell_kept(name, error)

    def extend(self, envelope: Envelope, until: dt.datetime) -> Envelope:
        """Keep the stored body of a call at least until then; return the updated call.

        Raises:
            StoreError: Datastore could not be reached.
        """
        reference = envelope.stowed
        if reference is None:
            return envelope

        def extend(key: RecordKey, transaction: Transaction) -> None:
            record = transaction.get([key])[0]
            expires = record and record["expires_at"]
            if record and isinstance(expires, dt.datetime) and expires < until:
                transaction.put(key, {**record, "expires_at": until}, unindexed=("data",))

        self._transact(extend, *_place(envelope, reference))
        latest = max(reference.until, int(until.timestamp()))
        return envelope._replace(stowed=reference._replace(until=latest))

    def extend_for(self, envelope: Envelope, start: dt.datetime) -> Envelope:
        """Keep the stored body for as long as a task with this start can live; see `extend`."""
        reference = envelope.stowed
        if reference is None or reference.until >= (start + LIFE).timestamp():
            return envelope
        return self.extend(envelope, start + KEPT)

    def _sealed(self, name: str, body: bytes) -> bytes:
        # A signed reference is enough to know the body by.
        if self.sealer is None or not self.sealer.is_encrypting:
            return body
        return self.sealer.seal(body, "", _sealed_as(name))

    def _opened(self, name: str, stored: bytes) -> bytes:
        if not is_sealed(stored):
            return stored
        if self.sealer is None:
            raise UnknownKeyError(f"Its payload is sealed with the key {key_of(stored)}")
        return self.sealer.open(stored, "", _sealed_as(name))

    def _transact(
        self, work: Callable[[RecordKey, Transaction], None], name: str, reference: PayloadReference
    ) -> None:
        """Run `work` for each part in a separate transaction, since one is limited to 10 MiB."""
        keys = _keys(name, reference.pieces)
        _run_all(partial(self.store.transact, partial(work, key)) for key in keys)


def _place(envelope: Envelope, reference: PayloadReference) -> tuple[str, PayloadReference]:
    return reference.stored_as or envelope.id, reference


def _sealed_as(name: str) -> str:
    return f"payload/{name}"  # no task has such a name


def _tell_kept(name: str, error: Exception) -> None:
    text = f"The payload {name} was not deleted; it expires"
    event("payload.kept", logging.WARNING, text, error=error)


def _reference(body: bytes, until: dt.datetime) -> PayloadReference:
    return PayloadReference(
        pieces=len(parts(body)),
        size=len(body),
        sha256=digest(body, 64),
        until=int(until.timestamp()),
    )


def _keys(name: str, count: int) -> list[RecordKey]:
    return [RecordKey(KIND, f"{name}-{number}") for number in range(1, count + 1)]


def _run_all(steps: Iterable[Callable[[], T]]) -> list[T]:
    """Run steps in threads; return their results in order."""
    return in_parallel(lambda step: step(), list(steps))
