"""In-memory twins of the outside world, for users' tests and for our own.

    with adjourn.testing.sandbox(app) as box:
        send_receipt(order.key)
        box.drain()

Calls go through the same encoding, verification and dispatch as in production; only Cloud Tasks,
Datastore, the keys of Google and the clock are replaced.
"""

from adjourn.testing.clock import FakeClock
from adjourn.testing.queries import MemoryQueries, MemoryQuery
from adjourn.testing.queue import MemoryQueue, Queued
from adjourn.testing.sandbox import SETTINGS, Sandbox, sandbox
from adjourn.testing.store import MemoryStore
from adjourn.testing.transactions import MemoryTransactions
from adjourn.testing.verifier import MemoryVerifier

__all__ = [
    "SETTINGS",
    "FakeClock",
    "MemoryQueries",
    "MemoryQuery",
    "MemoryQueue",
    "MemoryStore",
    "MemoryTransactions",
    "MemoryVerifier",
    "Queued",
    "Sandbox",
    "sandbox",
]
