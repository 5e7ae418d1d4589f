"""Calls that must not run twice are claimed here first, in Datastore, with a lease.

A record stands for one call. Whoever claims it gets a fencing token; only the holder of the newest
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


class Claim(Enum):
    """What a delivery may do with a call."""

    GRANTED = auto()
    DONE = auto()  # it has taken effect
    BUSY = auto()  # another delivery is running it
    ABANDONED = auto()  # it was begun, never settled, and must not be begun again


class Claimed(NamedTuple):
    """The answer to a claim, with the fencing token if it was granted."""

    claim: Claim
    token: int = 0


def judge(record: Record | None, now: dt.datetime, *, no_retry: bool) -> Claim:
    """Decide about a claim from what is stored."""
    if record is None or record["state"] in {_RENEWED, _FREE}:
        return Claim.GRANTED
    if record["state"] == _DONE:
        return Claim.DONE
    lease = record["lease_until"]
    if isinstance(lease, dt.datetime) and lease > now:
        return Claim.BUSY
    return Claim.ABANDONED if no_retry else Claim.GRANTED


def renew(transaction: Transaction, call: str, now: dt.datetime) -> None:
    """Let a call be begun once more, whatever became of it; who holds it is shut out."""
    record = transaction.get([_key(call)])[0]
    if record is not None:
        transaction.put(_key(call), _record(_RENEWED, _token(record) + 1, now, None))


@dataclass(kw_only=True, eq=False, repr=False)
class Ledger:
    """The calls that were claimed, under the kind `AdjournOnce`.

    `expires_at` is meant for a TTL policy.
    """

    store: EntityStore
    transactions: ApplicationTransactions
    clock: Clock

    def claim(self, call: str, lease: dt.timedelta, *, no_retry: bool) -> Claimed:
        """Claim a call, unless it was settled or somebody else holds it.

        Raises:
            StoreError: Datastore could not be reached; nothing was claimed.
        """

        def work(transaction: Transaction) -> Claimed:
            now = self.clock.now()
            record = transaction.get([_key(call)])[0]
            claim = judge(record, now, no_retry=no_retry)
            if claim is not Claim.GRANTED:
                return Claimed(claim)
            token = _token(record) + 1
            transaction.put(_key(call), _record(_BEGUN, token, now, now + lease))
            return Claimed(claim, token)

        return self.store.transact(work)

    def settle(self, call: str, token: int, *, done: bool) -> bool:
        """Note that a claimed call is done, or give it back; False if another has claimed it.

        Raises:
            StoreError: Datastore could not be reached.
        """

        def work(transaction: Transaction) -> bool:
            record = transaction.get([_key(call)])[0]
            if record is None or _token(record) != token:
                return False
            if record["state"] == _DONE:
                return True  # with a transaction of its own, whatever came after that
            state, now = _DONE if done else _FREE, self.clock.now()
            transaction.put(_key(call), _record(state, token, now, None))
            return True

        return self.store.transact(work)

    def settle_in(self, transaction: object, call: str, token: int) -> None:
        """Let a claimed call be done if a transaction of the user's is committed, else not.

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
