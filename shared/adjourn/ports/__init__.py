"""What the core needs of the outside world, in our own types; one file for each port.

Ports are internal and not for implementing: they change when the core needs something else. Each
has an adapter in `adjourn.gcp` and an in-memory twin in `adjourn.testing`; one suite of contract
tests runs against both.
"""

from __future__ import annotations

from adjourn.ports.adapters import Adapters
from adjourn.ports.application_transactions import ApplicationTransactions
from adjourn.ports.entity_store import (
    EntityStore,
    Record,
    RecordKey,
    Transaction,
    Value,
    Versioned,
)
from adjourn.ports.job_scheduler import Job, JobScheduler
from adjourn.ports.query_source import Page, QuerySource, Split
from adjourn.ports.sealer import Sealer
from adjourn.ports.task_queue import NewTask, Target, TaskQueue, TaskState
from adjourn.ports.token_verifier import TokenVerifier

__all__ = [
    "Adapters",
    "ApplicationTransactions",
    "EntityStore",
    "Job",
    "JobScheduler",
    "NewTask",
    "Page",
    "QuerySource",
    "Record",
    "RecordKey",
    "Sealer",
    "Split",
    "Target",
    "TaskQueue",
    "TaskState",
    "TokenVerifier",
    "Transaction",
    "Value",
    "Versioned",
]
