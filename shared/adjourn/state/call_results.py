"""Results of calls: what each has returned, or why it returned nothing, kept for a time.

Only a call that was made with `keep_result` has one. What it returned first stands, whatever a
duplicate or a replay does afterwards; that it failed is replaced when it is replayed.
"""

from __future__ import annotations

import datetime as dt
import logging
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from adjourn.clock import Clock
from adjourn.error_text import error_line
from adjourn.errors import (
    AdjournError,
    CallCancelledError,
    CallDroppedError,
    CallFailedError,
    DecodeError,
    EncodeError,
    ResultRefusedError,
    StoreRefusedError,
    UnknownKeyError,
)
from adjourn.log import event
from adjourn.names import CallIdentity
from adjourn.ports import EntityStore, Record, RecordKey, Sealer, Transaction
from adjourn.ports.sealer import is_sealed, key_of
from adjourn.serialization.budget import OF_TASK
from adjourn.serialization.codec import Codec, from_json, to_json
from adjourn.serialization.payload_reference import MAX_BODY
from adjourn.serialization.stored_seals import sealed
from adjourn.state.call_records import cancelled
from adjourn.state.owned_records import FINGERPRINT, is_own, own_key, owned

KIND = "AdjournResult"
UNINDEXED = ("body", "is_done", FINGERPRINT)
# An entity may have 1,048,572 bytes (https://cloud.google.com/datastore/docs/concepts/limits).
MAX_RESULT = MAX_BODY

_VERSION = 1
_CHUNK = 32 * 1024  # a longer one is compressed, as the body of a task is
_LONGEST_ERROR = 1_000  # bytes
_DONE, _REFUSED, _FAILED, _DROPPED = "done", "refused", "failed", "dropped"
_ERRORS: Mapping[str, type[AdjournError]] = {
    _REFUSED: ResultRefusedError,
    _FAILED: CallFailedError,
    _DROPPED: CallDroppedError,
}


class CallResult(NamedTuple):
    """How a call has ended.

    Attributes:
        value: What it returned.
        error: Why there is nothing that it returned; None if there is.
        kept_until: Until when this is kept; None for a call that was cancelled.
    """

    value: Any = None
    error: AdjournError | None = None
    kept_until: dt.datetime | None = None

    def returned(self) -> Any:
        """Return what the call returned.

        Raises:
            ResultError: There is nothing; its class says why.
            DecodeError: It cannot be read here, such as for a type that is not registered.
        """
        if self.error is not None:
            raise self.error
        return self.value


@dataclass(kw_only=True, eq=False, repr=False)
class CallResults:
    """The results of calls, as records of the kind `AdjournResult`.

    `expires_at` is meant for a TTL policy.

    Attributes:
        store: Where they are.
        clock: The time.
        sealer: Seals and opens them, as it does the bodies of tasks; None without a key.
        codec: Encodes and decodes them.
    """

    store: EntityStore
    clock: Clock
    sealer: Sealer | None
    codec: Codec

    def read(self, calls: Sequence[CallIdentity]) -> list[CallResult | None]:
        """Return how calls have ended, by one request if all have.

        Args:
            calls: The calls. One without a fingerprint is whichever has its id.

        Returns:
            For each call, in order: its result, or None if it has not ended, keeps none, or its
            time is over.

        Raises:
            StoreError: Datastore could not be reached.
        """
        records = self.store.get([RecordKey(KIND, call.id) for call in calls])
        found = [self._own(*each) for each in zip(calls, records, strict=True)]
        missing = [call for call, result in zip(calls, found, strict=True) if result is None]
        gone = set(cancelled(self.store, missing)) if missing else set()
        return [
            CallResult(error=CallCancelledError(f"The call {call.id} was cancelled."))
            if call in gone
            else result
            for call, result in zip(calls, found, strict=True)
        ]

    def _own(self, call: CallIdentity, record: Record | None) -> CallResult | None:
        if record is not None and not is_own(record, call):
            record = self.store.get([own_key(KIND, call)])[0]
        expires_at = record and record.get("expires_at")
        if record is None or not isinstance(expires_at, dt.datetime):
            return None
        if expires_at <= self.clock.now():  # a TTL policy takes a day to delete it
            return None
        try:
            return self._result(call.id, record)._replace(kept_until=expires_at)
        except DecodeError as error:
            return CallResult(error=error, kept_until=expires_at)

    def _result(self, call: str, record: Record) -> CallResult:
        tree = self.tree(call, record)
        end, text = f"{tree.get('end')}", f"{tree.get('text', '')}"
        if end == _DONE:
            return CallResult(self.codec.decode(tree.get("value")))
        if end not in _ERRORS:
            raise DecodeError(f"The result of the call {call} is not known here.")
        error = _ERRORS[end](f"{tree.get('task', '')}: {text}")
        if isinstance(error, CallFailedError):
            error.error = text
        return CallResult(error=error)

    def tree(self, call: str, record: Record) -> Mapping[str, Any]:
        """Return what a record holds: "task", "end" and, in their JSON form, "value" or "text".

        Raises:
            DecodeError: Its seal is missing or does not hold, its key is not known here, or a newer
                version of adjourn wrote it.
        """
        tree = from_json(OF_TASK.inflated(self._opened(call, record)))
        if not isinstance(tree, dict) or tree.get("v") != _VERSION:
            raise DecodeError(f"The result of the call {call} was written by another adjourn.")
        return tree

    def _opened(self, call: str, record: Record) -> bytes:
        body, owner = record.get("body"), record.get(FINGERPRINT)
        if not isinstance(body, bytes):
            raise DecodeError(f"The result of the call {call} was changed.")
        if not is_sealed(body):
            if self.sealer is not None and self.sealer.is_required:
                raise DecodeError(f"The result of the call {call} is not sealed.")
            return body
        if self.sealer is None:
            raise UnknownKeyError(f"The result is sealed with the key {key_of(body)}")
        return self.sealer.open(body, "", _sealed_as(call, str(owner)))

    def sealed(self, call: CallIdentity, body: bytes) -> bytes:
        """Return a body with a seal for this call, if bodies are sealed."""
        return sealed(self.sealer, body, _sealed_as(call.id, call.fingerprint))


@dataclass(kw_only=True, eq=False, repr=False)
class PendingResult:
    """The result of a call that is being executed: noted first, then written with its end.

    Attributes:
        results: Where it is written.
        call: The call.
        task: Registered name of its task.
        kept: How long it is kept.
    """

    results: CallResults
    call: CallIdentity
    task: str
    kept: dt.timedelta
    _record: Record | None = None
    _is_written: bool = False

    def done(self, value: object) -> None:
        """Note what the call has returned; that it cannot be kept if it cannot."""
        try:
            tree = self.results.codec.encode(value, "result")
            body = _fitting(to_json(self._tree(_DONE, value=tree)))
        except EncodeError as error:
            text = f"What {self.task} returned cannot be kept; reading its result says why"
            event("result.refused", logging.ERROR, text)
            self._note(_REFUSED, str(error))
        else:
            self._set(body, is_done=True)

    def failed(self, error: BaseException) -> None:
        """Note that the call was given up."""
        self._note(_FAILED, error_line(error, _LONGEST_ERROR))

    def dropped(self, reason: str) -> None:
        """Note that the call has ended without having done its work."""
        self._note(_DROPPED, reason)

    def put(self, transaction: Transaction) -> None:
        """Write what was noted with whatever else ends the call, unless it has returned before."""
        if self._record is None or self._is_written:
            return
        key, before = owned(transaction, KIND, self.call)
        if before is None or not _stands(before, self.results.clock.now()):
            transaction.put(key, self._record, unindexed=UNINDEXED)

    def settle(self) -> None:
        """Remember that it was written, by a commit that has succeeded, or must not be."""
        self._is_written = True

    def write(self) -> None:
        """Write what was noted, unless it was written.

        Raises:
            StoreError: Datastore could not be reached; the call must not be acknowledged.
            ConflictError: The record is being written by others; as above.
        """
        if self._record is None or self._is_written:
            return
        try:
            self.results.store.transact(self.put)
        except StoreRefusedError as error:  # another attempt would only repeat the work
            text = f"The result of {self.task} could not be written and is lost"
            event("result.lost", logging.ERROR, text, error=error)
        self.settle()

    def _tree(self, end: str, **content: Any) -> dict[str, Any]:
        return {"v": _VERSION, "task": self.task, "end": end, **content}

    def _note(self, end: str, text: str) -> None:
        self._set(to_json(self._tree(end, text=_plain(text))), is_done=end == _REFUSED)

    def _set(self, body: bytes, *, is_done: bool) -> None:
        self._record = {
            "body": self.results.sealed(self.call, body),
            "is_done": is_done,
            FINGERPRINT: self.call.fingerprint,
            "expires_at": self.results.clock.now() + self.kept,
        }


def renew(transaction: Transaction, call: CallIdentity) -> None:
    """Forget that a call has ended, since it begins anew; what it has returned stands."""
    key, record = owned(transaction, KIND, call)
    if record is not None and not record["is_done"]:
        transaction.delete(key)


def _stands(record: Record, now: dt.datetime) -> bool:
    expires_at = record.get("expires_at")
    return bool(record["is_done"]) and isinstance(expires_at, dt.datetime) and expires_at > now


def _fitting(body: bytes) -> bytes:
    """Return a body as it is stored.

    Raises:
        EncodeError: It is too large.
    """
    if not OF_TASK.holds(body):
        raise EncodeError(
            f"result: it has more than {OF_TASK.size:,} bytes or {OF_TASK.values:,} values; store"
            " the data and return its key"
        )
    stored = min(body, zlib.compress(body), key=len) if len(body) > _CHUNK else body
    if len(stored) > MAX_RESULT:
        raise EncodeError(
            f"result: it takes {len(stored):,} bytes and may take {MAX_RESULT:,}; store the data"
            " and return its key"
        )
    return stored


def _plain(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


def _sealed_as(call: str, fingerprint: str) -> str:
    return f"result/{call}/{fingerprint}"  # no task has such a name
