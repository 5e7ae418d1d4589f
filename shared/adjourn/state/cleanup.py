"""Delete adjourn's own expired records, for databases without TTL policies.

A database in the mode "optimistic with entity groups" has no TTL policies
(https://cloud.google.com/datastore/docs/ttl), and some projects do not want them.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from adjourn.clock import Clock
from adjourn.log import event
from adjourn.ports import EntityStore, RecordKey, Transaction

INTERVAL = dt.timedelta(minutes=10)
NAME = "adjourn.cleanup"
CRON_NAME = "adjourn"

# The kinds whose records have an end, in the property `expires_at`.
KINDS = (
    "AdjournBatch",
    "AdjournBatchShard",
    "AdjournCall",
    "AdjournDeadLetter",
    "AdjournDebounce",
    "AdjournFlow",
    "AdjournFlowPage",
    "AdjournList",
    "AdjournMarker",
    "AdjournOnce",
    "AdjournPayload",
    "AdjournResult",
    "AdjournRetryWarning",
    "AdjournRun",
    "AdjournSchedule",
    "AdjournShard",
    "AdjournUnique",
    "AdjournUserStart",
)

_PROPERTY = "expires_at"
# A run takes some seconds, and 700,000 records a day. A part of a payload may have a megabyte.
_MOST = 5_000
_BATCH = 8


@dataclass(kw_only=True, eq=False, repr=False)
class Cleaner:
    """Deletes what has expired, so much at a time."""

    store: EntityStore
    clock: Clock

    def clean_up(self) -> int:
        """Delete up to 5,000 expired records of all kinds and return how many it were.

        Raises:
            StoreError: Datastore could not be reached or refused.
        """
        count = sum(self._deleted(batch) for batch in self._batches())
        if count:
            text = f"{count} expired records were deleted"
            event("cleanup.done", logging.INFO, text, records=count)
        return count

    def _batches(self) -> Iterator[Sequence[RecordKey]]:
        left, now = _MOST, self.clock.now()
        for kind in KINDS:
            names = self.store.names(kind, by=_PROPERTY, before=now, limit=left)
            left -= len(names)
            keys = [RecordKey(kind, name) for name in names]
            yield from (keys[n : n + _BATCH] for n in range(0, len(keys), _BATCH))
            if not left:
                return

    def _deleted(self, keys: Sequence[RecordKey]) -> int:
        """Delete those of some records that nobody has renewed since they were found."""

        def work(transaction: Transaction) -> int:
            now, count = self.clock.now(), 0
            for key, record in zip(keys, transaction.get(keys), strict=True):
                expires = record and record.get(_PROPERTY)
                if isinstance(expires, dt.datetime) and expires < now:
                    transaction.delete(key)
                    count += 1
            return count

        return self.store.transact(work)
