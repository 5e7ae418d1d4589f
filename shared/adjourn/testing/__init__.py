"""In-memory twins of the outside world, for users' tests and for our own.

    with adjourn.testing.fake(app) as box:
        place_order("A-1")
        box.assert_enqueued(send_receipt, "A-1")
        box.drain()

Calls go through the same encoding, verification and dispatch as in production; only Cloud Tasks,
Datastore, the keys of Google and the clock are replaced.
"""

from __future__ import annotations

from adjourn.testing.calls import EnqueuedCall
from adjourn.testing.clock import FakeClock
from adjourn.testing.modes import fake, inline, sandbox
from adjourn.testing.queries import MemoryQueries, MemoryQuery
from adjourn.testing.queue import MemoryQueue, Queued
from adjourn.testing.sandbox import SETTINGS, Sandbox
from adjourn.testing.store import MemoryStore
from adjourn.testing.transactions import MemoryTransactions
from adjourn.testing.verifier import MemoryVerifier

__all__ = [
    "SETTINGS",
    "EnqueuedCall",
    "FakeClock",
    "MemoryQueries",
    "MemoryQuery",
    "MemoryQueue",
    "MemoryStore",
    "MemoryTransactions",
    "MemoryVerifier",
    "Queued",
    "Sandbox",
    "fake",
    "inline",
    "sandbox",
]
