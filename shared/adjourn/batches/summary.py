"""What a batch tells its `on_done` and `on_failed`."""

from __future__ import annotations

import datetime as dt
from typing import TypedDict

from adjourn.batches.children import Counts
from adjourn.batches.records import BatchRecord


class BatchSummary(TypedDict):
    """How a batch stands, as `on_done` and `on_failed` are called with.

    Attributes:
        id: Identifies the batch; `App.batches` takes it.
        name: Its name; "" for none.
        status: One of open, running, cancelling, done, failed and cancelled.
        total: How many children it has: calls, runs, and nested batches as one each.
        done: How many are done.
        failed: How many were given up.
        cancelled: How many were cancelled, or have expired.
        round: How often it went on after its end, because failed children were retried.
        created_at: When its first children were registered.
        sealed_at: When its block ended; None if it has not.
        ended_at: When the last child ended; None if it has not.
    """

    id: str
    name: str
    status: str
    total: int
    done: int
    failed: int
    cancelled: int
    round: int
    created_at: dt.datetime
    sealed_at: dt.datetime | None
    ended_at: dt.datetime | None


def summary_of(record: BatchRecord, total: int, counts: Counts) -> BatchSummary:
    """Return the summary of a batch with so many children, of which so many have ended."""
    return BatchSummary(
        id=record.id,
        name=record.name,
        status=record.status,
        total=total,
        done=counts.done,
        failed=counts.failed,
        cancelled=counts.cancelled,
        round=record.round,
        created_at=_plain(record.created_at),
        sealed_at=record.sealed_at and _plain(record.sealed_at),
        ended_at=record.ended_at and _plain(record.ended_at),
    )


def _plain(at: dt.datetime) -> dt.datetime:
    """Return a time as what it is in every process; Google's client reads a class of its own."""
    return dt.datetime.fromisoformat(at.isoformat())
