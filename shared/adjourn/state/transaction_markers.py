"""Calls made inside a Datastore transaction run if it is committed, and only then.

Such a call is enqueued at once and carries the name of a marker, an entity that is put in that very
transaction. Where the marker is found, the transaction was committed; where it is not, it may still
be, until no transaction can live any longer.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import Enum, auto

from adjourn.clock import Clock
from adjourn.ports import ApplicationTransactions, EntityStore, RecordKey

KIND = "AdjournMarker"
# A task lives 31 days after its start at most (https://cloud.google.com/tasks/docs/quotas).
KEPT = dt.timedelta(days=33)

# A transaction expires after 270 s (https://cloud.google.com/datastore/docs/concepts/transactions).
_LONGEST_TRANSACTION = dt.timedelta(seconds=270)
_SKEW = dt.timedelta(seconds=30)
_LONGEST_WAIT = dt.timedelta(seconds=30)
FIRST_WAIT = dt.timedelta(seconds=1)


class Fate(Enum):
    """What became of the transaction in which a call was made."""

    COMMITTED = auto()
    OPEN = auto()  # it may still be committed
    GONE = auto()  # it was not and cannot be any more


@dataclass(kw_only=True, eq=False, repr=False)
class Guard:
    """Marks transactions and finds out what became of them.

    The property `expires_at` of the markers is meant for a TTL policy.
    """

    transactions: ApplicationTransactions
    store: EntityStore
    clock: Clock

    def transaction(self, given: object | None) -> object | None:
        """Return what a call stands and falls with: the given transaction, else the open one."""
        return given or self.transactions.current()

    def mark(self, call: str, transaction: object | None, start: dt.datetime | None) -> str:
        """Put a marker in a transaction, the current one if None; return its name, "" for none.

        Raises:
            DeclarationError: It is no transaction of the settings' project and database.
        """
        transaction = self.transaction(transaction)
        if transaction is None:
            return ""
        expires = (start or self.clock.now()) + KEPT
        self.transactions.put(transaction, RecordKey(KIND, call), {"expires_at": expires})
        return call

    def fate(self, marker: str, enqueued_at: dt.datetime) -> Fate:
        """Find out what became of the transaction that a marker was put in.

        Raises:
            StoreError: Datastore could not be reached.
        """
        # The time is taken first: what is committed in between is found.
        can_commit = self.clock.now() - enqueued_at <= _LONGEST_TRANSACTION + _SKEW
        if self.store.get([RecordKey(KIND, marker)])[0] is not None:
            return Fate.COMMITTED
        return Fate.OPEN if can_commit else Fate.GONE


def wait(times: int) -> dt.timedelta:
    """Return how long to wait before looking again, having waited so often."""
    return min(FIRST_WAIT * (1 << min(times, 10)), _LONGEST_WAIT)
