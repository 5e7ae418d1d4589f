"""Transaction markers: a call made inside a Datastore transaction runs only if that is committed.

The call is enqueued at once, with the name of a marker: an entity that is written in the same
transaction. If the marker exists, the transaction was committed. If not, it may still be committed
until it is older than a transaction can be.
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


class TransactionOutcome(Enum):
    """The outcome of the transaction in which a call was made."""

    COMMITTED = auto()
    OPEN = auto()  # it may still be committed
    ROLLED_BACK = auto()  # it was not committed and cannot be any more


@dataclass(kw_only=True, eq=False, repr=False)
class TransactionMarkers:
    """Puts markers in transactions and finds out whether these were committed.

    `expires_at` is meant for a TTL policy.
    """

    transactions: ApplicationTransactions
    store: EntityStore
    clock: Clock

    def transaction(self, given: object | None) -> object | None:
        """Return the transaction of a call: the given one, else the one that is open, else None."""
        return self.transactions.current() if given is None else given

    def put(self, call: str, transaction: object | None, start: dt.datetime | None) -> str:
        """Put a marker in the transaction of a call and return its name; "" if there is none.

        Args:
            call: The id of the call.
            transaction: The transaction; the one that is open if None.
            start: Earliest start of the call; None for at once.

        Raises:
            DeclarationError: It is no transaction of the settings' project and database.
        """
        transaction = self.transaction(transaction)
        if transaction is None:
            return ""
        expires = (start or self.clock.now()) + KEPT
        self.transactions.put(transaction, RecordKey(KIND, call), {"expires_at": expires})
        return call

    def outcome_of(self, marker: str, since: dt.datetime) -> TransactionOutcome:
        """Find out whether the transaction of a marker was committed.

        Args:
            marker: Name of the marker.
            since: A time after the begin of the transaction, such as that of the first delivery.

        Raises:
            StoreError: Datastore could not be reached.
        """
        # The time is read before the marker, so that a commit in between is not overlooked.
        can_commit = self.clock.now() - since <= _LONGEST_TRANSACTION + _SKEW
        if self.store.get([RecordKey(KIND, marker)])[0] is not None:
            return TransactionOutcome.COMMITTED
        return TransactionOutcome.OPEN if can_commit else TransactionOutcome.ROLLED_BACK


def wait(waits: int) -> dt.timedelta:
    """Return how long to wait for a commit after so many earlier waits."""
    return min(FIRST_WAIT * (1 << min(waits, 10)), _LONGEST_WAIT)
