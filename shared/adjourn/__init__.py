"""Deferred calls, cron fan-out and resumable Datastore iteration on Google Cloud."""

from adjourn.app import App
from adjourn.errors import (
    AdjournError,
    ConfigurationError,
    ConflictError,
    DeclarationError,
    DecodeError,
    EncodeError,
    EnqueueError,
    PermanentTaskFailure,
    QueueNotFoundError,
    StoreError,
    TaskExistsError,
    UnavailableError,
    UnknownNameError,
)
from adjourn.queryiter import QueryIter, RunHandle
from adjourn.runs import RunState, Status
from adjourn.tasks import Task, TaskHandle

__all__ = [
    "AdjournError",
    "App",
    "ConfigurationError",
    "ConflictError",
    "DeclarationError",
    "DecodeError",
    "EncodeError",
    "EnqueueError",
    "PermanentTaskFailure",
    "QueryIter",
    "QueueNotFoundError",
    "RunHandle",
    "RunState",
    "Status",
    "StoreError",
    "Task",
    "TaskExistsError",
    "TaskHandle",
    "UnavailableError",
    "UnknownNameError",
]
