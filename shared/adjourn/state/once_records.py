"""Once records: a call that must not run twice is claimed in Datastore, with a lease.

There is one record for each call. A claim gets a fencing token, and only the holder of the newest
token may settle the call.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from adjourn.clock import Clock
from adjourn.errors import ConflictError
from adjourn.ports import ApplicationTransactions, EntityStore, Record, RecordKey, Transaction

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
    """The result of claiming a call, with the fencing token if it was granted."""

    status: ClaimStatus
    token: int = 0


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


def renew(transaction: Transaction, call: str, now: dt.datetime) -> None:
    """Allow a call to be claimed again, whatever its state; invalidate the present token."""
    record = transaction.get([_key(call)])[0]
    if record is not None:
        transaction.put(_key(call), _record(_RENEWED, _token(record) + 1, now, None))


@dataclass(kw_only=True, eq=False, repr=False)
class OnceRecords:
    """The records of claimed calls, of the kind `AdjournOnce`.

    `expires_at` is meant for a TTL policy.
    """

    store: EntityStore
    transactions: ApplicationTransactions
    clock: Clock

    def claim(self, call: str, lease: dt.timedelta, *, no_retry: bool) -> Claim:
        """Claim a call, unless it was settled or another delivery holds it.

        Raises:
            StoreError: Datastore could not be reached; nothing was claimed.
        """

        def work(transaction: Transaction) -> Claim:
            now = self.clock.now()
            record = transaction.get([_key(call)])[0]
            status = claim_status(record, now, no_retry=no_retry)
            if status is not ClaimStatus.GRANTED:
                return Claim(status)
            token = _token(record) + 1
            transaction.put(_key(call), _record(_BEGUN, token, now, now + lease))
            return Claim(status, token)

        return self.store.transact(work)

    def settle(self, call: str, token: int, *, done: bool) -> bool:
        """Mark a claimed call as done, or release it; False if another delivery has claimed it.

        Raises:
            StoreError: Datastore could not be reached.
        """

        def work(transaction: Transaction) -> bool:
            record = transaction.get([_key(call)])[0]
            if record is None or _token(record) != token:
                return False
            if record["state"] == _DONE:
                return True  # within a transaction of the user, whatever happened afterwards
            state, now = _DONE if done else _FREE, self.clock.now()
            transaction.put(_key(call), _record(state, token, now, None))
            return True

        return self.store.transact(work)

    def settle_in(self, transaction: object, call: str, token: int) -> None:
        """Mark a claimed call as done within a transaction of the user.

        Raises:
            ConflictError: Another delivery has claimed the call.
            DeclarationError: It is no transaction of the settings' project and database.
        """
        if _token(self.transactions.get(transaction, _key(call))) != token:
            raise ConflictError("Another delivery has claimed this call; let it do the work.")
        record = _record(_DONE, token, self.clock.now(), None)
        self.transactions.put(transaction, _key(call), record)


def _key(call: str) -> RecordKey:
    return RecordKey(KIND, call)


def _token(record: Record | None) -> int:
    token = 0 if record is None else record["token"]
    return token if isinstance(token, int) else 0


def _record(state: str, token: int, now: dt.datetime, lease: dt.datetime | None) -> Record:
    return {"state": state, "token": token, "lease_until": lease, "expires_at": now + KEPT}
