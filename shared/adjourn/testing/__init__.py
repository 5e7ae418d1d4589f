"""Test support: an application in a sandbox, with in-memory twins of Google's services.

    with adjourn.testing.fake(app) as box:
        place_order("A-1")
        box.assert_enqueued(send_receipt, "A-1")
        box.drain()

Calls go through the same encoding, verification and dispatch as in production. Only Cloud Tasks,
Datastore, the verification of tokens and the clock are replaced.
"""

from __future__ import annotations

from adjourn.testing.context_managers import fake, inline, sandbox
from adjourn.testing.enqueued_calls import EnqueuedCall
from adjourn.testing.entity_store import MemoryStore
from adjourn.testing.fake_clock import FakeClock
from adjourn.testing.job_scheduler import MemoryJobs
from adjourn.testing.query_source import MemoryQueries, MemoryQuery
from adjourn.testing.sandbox import SETTINGS, Sandbox
from adjourn.testing.task_queue import MemoryQueue, Queued
from adjourn.testing.token_verifier import MemoryVerifier
from adjourn.testing.transactions import MemoryTransactions

__all__ = [
    "SETTINGS",
    "EnqueuedCall",
    "FakeClock",
    "MemoryJobs",
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
