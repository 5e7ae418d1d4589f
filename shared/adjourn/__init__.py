"""Deferred calls, cron fan-out and resumable Datastore iteration on Google Cloud."""

from adjourn.alerts import RetryWarning
from adjourn.app import App
from adjourn.current import CurrentTask, current_task
from adjourn.deadletters import DeadLetter
from adjourn.errors import (
    AdjournError,
    ConfigurationError,
    ConflictError,
    DeclarationError,
    DecodeError,
    Discard,
    EncodeError,
    EnqueueError,
    NoCurrentTaskError,
    PermanentTaskFailure,
    QueueNotFoundError,
    RetryLater,
    Snooze,
    StoreError,
    TaskExistsError,
    UnavailableError,
    UnknownNameError,
)
from adjourn.ports import TaskState
from adjourn.queryiter import QueryIter, RunHandle
from adjourn.runs import RunState, Status
from adjourn.tasks import Task, TaskHandle

__all__ = [
    "AdjournError",
    "App",
    "ConfigurationError",
    "ConflictError",
    "CurrentTask",
    "DeadLetter",
    "DeclarationError",
    "DecodeError",
    "Discard",
    "EncodeError",
    "EnqueueError",
    "NoCurrentTaskError",
    "PermanentTaskFailure",
    "QueryIter",
    "QueueNotFoundError",
    "RetryLater",
    "RetryWarning",
    "RunHandle",
    "RunState",
    "Snooze",
    "Status",
    "StoreError",
    "Task",
    "TaskExistsError",
    "TaskHandle",
    "TaskState",
    "UnavailableError",
    "UnknownNameError",
    "current_task",
]
