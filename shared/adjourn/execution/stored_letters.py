"""Dead letters as they are stored, and which of them are wanted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adjourn.execution.dead_letter import DeadLetter


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDeadLetter(DeadLetter):
    """A dead letter as it is stored.

    Attributes:
        body: The body of the task.
        traceback: Of the last error.
        buried_at: When the task was given up.
        expires_at: When the record may be removed.
        replayed_at: When a replay began that has not removed the letter yet; None if none did.
        name: Short name of the task that was given up, for which its seal holds; "" without one.
    """

    body: bytes
    traceback: str
    buried_at: dt.datetime
    expires_at: dt.datetime
    replayed_at: dt.datetime | None
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterFilter:
    """Which dead letters to find; None matches any.

    Attributes:
        task: Registered name of the task; empty for bodies that could not be read.
        queue: Short name of the queue.
        since: Earliest time at which the task was given up.
        before: Time before which it was given up.
    """

    task: str | None = None
    queue: str | None = None
    since: dt.datetime | None = None
    before: dt.datetime | None = None

    def includes(self, letter: StoredDeadLetter) -> bool:
        """Return whether task and queue of a letter match; the query has checked its time."""
        return self.task in {None, letter.task} and self.queue in {None, letter.queue}


def letter_of(task_id: str, record: Mapping[str, Any]) -> StoredDeadLetter:
    """Return the letter of a record; fields that were changed by hand may be wrong or missing."""
    buried_at = record.get("buried_at")
    at = buried_at if isinstance(buried_at, dt.datetime) else _UNKNOWN
    fields: dict[str, Any] = {
        name: value if type(value := record.get(name)) is type(default) else default
        for name, default in _DEFAULTS.items()
    }
    expires_at = record.get("expires_at")
    return StoredDeadLetter(
        **fields,
        task_id=task_id,
        buried_at=at,
        expires_at=expires_at if isinstance(expires_at, dt.datetime) else at,
        replayed_at=record.get("replayed_at"),
    )


_UNKNOWN = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_DEFAULTS: Mapping[str, Any] = {
    "task": "",
    "queue": "",
    "attempts": 0,
    "error": "",
    "body": b"",
    "traceback": "",
    "name": "",
}
