"""Records that belong to one call, although somebody may give another call the same id.

The first call to write a record of its id gets the record that is named after the id. Each other
call of that id has a record of its own beside it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from adjourn.log import event
from adjourn.names import CallIdentity
from adjourn.ports import Record, RecordKey

FINGERPRINT = "fingerprint"


class Readable(Protocol):
    """A store or a transaction: what records are read from."""

    def get(self, keys: Sequence[RecordKey]) -> list[Record | None]:
        """Return the records in the order of their keys, None where missing."""


def owned(source: Readable, kind: str, call: CallIdentity) -> tuple[RecordKey, Record | None]:
    """Return the key of a call's own record, and the record if it exists.

    A record without a fingerprint was written by an earlier version of adjourn. It belongs to
    whichever call has its id.

    Raises:
        StoreError: Datastore could not be reached or refused.
    """
    return owned_of(source, kind, call, source.get([RecordKey(kind, call.id)])[0])


def owned_of(
    source: Readable, kind: str, call: CallIdentity, record: Record | None
) -> tuple[RecordKey, Record | None]:
    """Return what `owned` does, if the record that is named after the id was read already."""
    key = RecordKey(kind, call.id)
    if record is None or is_own(record, call):
        return key, record
    text = f"Another call has the id {call.id}, so one of the two is forged; they share nothing"
    event("task.id_conflict", logging.WARNING, text)
    key = own_key(kind, call)
    return key, source.get([key])[0]


def is_own(record: Record, call: CallIdentity) -> bool:
    """Whether a record is of this call, as far as it says; an identity without one is any's."""
    return not call.fingerprint or record.get(FINGERPRINT, "") in {"", call.fingerprint}


def own_key(kind: str, call: CallIdentity) -> RecordKey:
    """Return the key of a call's record beside that of another call with the same id."""
    return RecordKey(kind, f"{call.id}.{call.fingerprint}")  # no id contains a full stop
