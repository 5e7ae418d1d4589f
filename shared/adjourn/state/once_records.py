"""Once records: a call that must not run twice is claimed in Datastore, with a lease.

There is one record for each call. A claim gets a fencing token, and only the holder of the newest
token may settle the call.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from adjourn.clock import Clock
from adjourn.errors import ConflictError
from adjourn.names import CallIdentity
from adjourn.ports import ApplicationTransactions, EntityStore, Record, RecordKey, Transaction
from adjourn.state.owned_records import FINGERPRINT, owned

KIND = "AdjournOnce"
# A task lives 31 days at most (https://cloud.google.com/tasks/docs/quotas).
KEPT = dt.timedelta(days=32)

_BEGUN = "begun"
_DONE = "done"
_FREE = "free"
_RENEWED = "renewed"


class ClaimStatus(Enum):
    """Whether a delivery may run a call."""

    GRANTED = auto()
    DONE = auto()  # it has already taken effect
    BUSY = auto()  # another delivery is running it
    ABANDONED = auto()  # it was begun but never settled, and must not be begun again


class Claim(NamedTuple):
    """The result of claiming a call, with the fencing token and the record if it was granted."""

    status: ClaimStatus
    token: int = 0
    key: RecordKey = RecordKey(KIND, "")
    fingerprint: str = ""


def claim_status(record: Record | None, now: dt.datetime, *, no_retry: bool) -> ClaimStatus:
    """Decide whether a call with this record may be claimed."""
    if record is None or record["state"] in {_RENEWED, _FREE}:
        return ClaimStatus.GRANTED
    if record["state"] == _DONE:
        return ClaimStatus.DONE
    lease = record["lease_until"]
    if isinstance(lease, dt.datetime) and lease > now:
        return ClaimStatus.BUSY
    return ClaimStatus.ABANDONED if no_retry else ClaimStatus.GRANTED


def renew(transaction: Transaction, call: CallIdentity, now: dt.datetime) -> None:
    """Allow a call to be claimed again, whatever its state; invalidate the present token."""
    key, record = owned(transaction, KIND, call)
    if record is not None:
        claim = Claim(ClaimStatus.GRANTED, _token(record) + 1, key, call.fingerprint)
        _put(transaction, claim, _RENEWED, now)


@dataclass(kw_only=True, eq=False, repr=False)
class OnceRecords:
    """The records of claimed calls, of the kind `AdjournOnce`.

    `expires_at` is meant for a TTL policy.
    """

    store: EntityStore
    transactions: ApplicationTransactions
    clock: Clock

    def claim(self, call: CallIdentity, lease: dt.timedelta, *, no_retry: bool) -> Claim:
        """Claim a call, unless it was settled or another delivery holds it.

        Raises:
            StoreError: Datastore could not be reached; nothing was claimed.
        """

        def work(transaction: Transaction) -> Claim:
            now = self.clock.now()
            key, record = owned(transaction, KIND, call)
            status = claim_status(record, now, no_retry=no_retry)
            if status is not ClaimStatus.GRANTED:
                return Claim(status)
            claim = Claim(status, _token(record) + 1, key, call.fingerprint)
            _put(transaction, claim, _BEGUN, now, now + lease)
            return claim

        return self.store.transact(work)

    def settle(
        self, claim: Claim, *, done: bool, also: Callable[[Transaction], None] | None = None
    ) -> bool:
        """Mark a claimed call as done, or release it; False if another delivery has claimed it.

        Args:
            claim: The claim.
            done: Whether the call is over.
            also: Writes what belongs to this end of the call in the same commit.

        Raises:
            StoreError: Datastore could not be reached.
        """

        def work(transaction: Transaction) -> bool:
            record = transaction.get([claim.key])[0]
            if record is None or _token(record) != claim.token:
                return False
            # Within a transaction of the user it may be done, whatever happened afterwards.
            if record["state"] != _DONE:
                _put(transaction, claim, _DONE if done else _FREE, self.clock.now())
            if also is not None:
                also(transaction)
            return True

        return self.store.transact(work)

    def settle_in(self, transaction: object, claim: Claim) -> None:
        """Mark a claimed call as done within a transaction of the user.

        Raises:
            ConflictError: Another delivery has claimed the call.
            DeclarationError: It is no transaction of the settings' project and database.
        """
        if _token(self.transactions.get(transaction, claim.key)) != claim.token:
            raise ConflictError("Another delivery has claimed this call; let it do the work.")
        record = _record(claim, _DONE, self.clock.now(), None)
        self.transactions.put(transaction, claim.key, record)


def _token(record: Record | None) -> int:
    token = 0 if record is None else record["token"]
    return token if isinstance(token, int) else 0


def _put(
    transaction: Transaction,
    claim: Claim,
    state: str,
    now: dt.datetime,
    lease: dt.datetime | None = None,
) -> None:
    record = _record(claim, state, now, lease)
    transaction.put(claim.key, record, unindexed=(FINGERPRINT,))


def _record(claim: Claim, state: str, now: dt.datetime, lease: dt.datetime | None) -> Record:
    content: Record = {"state": state, "token": claim.token, "lease_until": lease}
    return {**content, FINGERPRINT: claim.fingerprint, "expires_at": now + KEPT}
