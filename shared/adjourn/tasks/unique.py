"""Unique calls: of all equal calls in a period, one is enqueued.

Equal calls get the same task name, so that Cloud Tasks refuses the second. It guarantees this for
an hour after the task has ended; for longer periods there is also a record in Datastore.
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

# Google documents an hour in one place and "up to 24 hours" in another (v2beta3
# Queue.tombstone_ttl and CreateTaskRequest). Only the hour can be relied on.
NAMES_LAST = dt.timedelta(hours=1)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def unique_name(
    task: str,
    call: tuple[tuple[object, ...], Mapping[str, object]],
    options: Options,
    now: dt.datetime,
    codec: Codec,
) -> str:
    """Return the task name that all equal calls in the present period share.

    Periods are counted from the start of 1970, so two calls close to each other can still be in
    different periods.

    Raises:
        EncodeError: An argument cannot be encoded; the message names it.
    """
    content: list[object] = [task, (now - _EPOCH) // period(options)]
    if options.unique_by == "arguments":
        args, kwargs = call
        content += [codec.encode(list(args), "args"), codec.encode(dict(kwargs), "kwargs")]
    return digest(json.dumps(content, sort_keys=True), 40)


def period(options: Options) -> dt.timedelta:
    """Return for how long a unique call prevents others."""
    return options.unique_for or NAMES_LAST


@dataclass(kw_only=True, eq=False, repr=False)
class UniqueCalls:
    """The records of unique calls with periods over an hour, of the kind `AdjournUnique`.

    The record is written before the call is enqueued and marked afterwards. If the process crashes
    in between, the next equal call is enqueued under the same name. `expires_at` is meant for a
    TTL policy.
    """

    store: EntityStore
    clock: Clock

    def enter(self, name: str, options: Options) -> bool:
        """Write the record of a call; False if the call was already enqueued in this period.

        Raises:
            StoreError: Datastore could not be reached; nothing was written.
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

    def mark_enqueued(self, name: str, options: Options) -> None:
        """Record that a call was enqueued.

        Raises:
            StoreError: Datastore could not be reached; the next equal call gets the same name.
        """
        if period(options) > NAMES_LAST:
            expires = self.clock.now() + period(options) + NAMES_LAST
            self.store.put(RecordKey(KIND, name), {"is_enqueued": True, "expires_at": expires})
