"""Calls of which there is to be one in a period: named alike, so that the second is not enqueued.

A name stays taken in Cloud Tasks for an hour after its task is gone, no longer for certain; longer
periods are kept in Datastore besides.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass

from adjourn.clock import Clock
from adjourn.names import digest
from adjourn.ports import EntityStore, RecordKey, Transaction
from adjourn.serialization.codec import Codec
from adjourn.tasks.options import Options

KIND = "AdjournUnique"

# Google documents an hour here and "up to 24 hours" there (v2beta3 Queue.tombstone_ttl and
# CreateTaskRequest): what must be refused counts on the former, what must be let in on no name.
NAMES_LAST = dt.timedelta(hours=1)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def unique_name(
    task: str,
    call: tuple[tuple[object, ...], Mapping[str, object]],
    options: Options,
    now: dt.datetime,
    codec: Codec,
) -> str:
    """Return the name that all calls have of which there is to be one in this period.

    Periods follow upon each other from the year 1970 on, so that two calls on both sides of a
    boundary are in different ones.

    Raises:
        EncodeError: An argument cannot be carried; the message names it.
    """
    told: list[object] = [task, (now - _EPOCH) // period(options)]
    if options.unique_by == "arguments":
        args, kwargs = call
        told += [codec.encode(list(args), "args"), codec.encode(dict(kwargs), "kwargs")]
    return digest(json.dumps(told, sort_keys=True), 40)


def period(options: Options) -> dt.timedelta:
    """Return how long a unique call keeps others out."""
    return options.unique_for or NAMES_LAST


@dataclass(kw_only=True, eq=False, repr=False)
class Uniques:
    """The unique calls of long periods, under the kind `AdjournUnique`.

    A call is entered before it is enqueued and marked afterwards: what crashed in between is
    enqueued by the next call of the same name. `expires_at` is meant for a TTL policy.
    """

    store: EntityStore
    clock: Clock

    def enter(self, name: str, options: Options) -> bool:
        """Enter a call; False if it has been enqueued in this period.

        Raises:
            StoreError: Datastore could not be reached; nothing was entered.
        """
        if period(options) <= NAMES_LAST:
            return True
        expires = self.clock.now() + period(options) + NAMES_LAST

        def work(transaction: Transaction) -> bool:
            record = transaction.get([RecordKey(KIND, name)])[0]
            if record is None:
                transaction.put(
                    RecordKey(KIND, name), {"is_enqueued": False, "expires_at": expires}
                )
            return record is None or not record["is_enqueued"]

        return self.store.transact(work)

    def mark(self, name: str, options: Options) -> None:
        """Note that a call that was entered has been enqueued.

        Raises:
            StoreError: Datastore could not be reached; the next call is enqueued by the same name.
        """
        if period(options) > NAMES_LAST:
            expires = self.clock.now() + period(options) + NAMES_LAST
            self.store.put(RecordKey(KIND, name), {"is_enqueued": True, "expires_at": expires})
