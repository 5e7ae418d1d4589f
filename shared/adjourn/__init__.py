"""Deferred calls, cron fan-out and resumable Datastore iteration on Google Cloud."""

import importlib
from typing import TYPE_CHECKING

from adjourn.alerts import RetryWarning
from adjourn.app import App
from adjourn.auth import User
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
from adjourn.tasks import Task, TaskHandle

if TYPE_CHECKING:
    from adjourn.callables import CallableTask
    from adjourn.entities import DeleteEntitiesIter, UpdateEntitiesIter
    from adjourn.hooks import OnError
    from adjourn.progress import RunState, ShardState
    from adjourn.queryiter import QueryIter
    from adjourn.runs import Status
    from adjourn.shards import RunError
    from adjourn.steering import RunHandle, Runs

__all__ = [
    "AdjournError",
    "App",
    "CallableTask",
    "ConfigurationError",
    "ConflictError",
    "CurrentTask",
    "DeadLetter",
    "DeclarationError",
    "DecodeError",
    "DeleteEntitiesIter",
    "Discard",
    "EncodeError",
    "EnqueueError",
    "NoCurrentTaskError",
    "OnError",
    "PermanentTaskFailure",
    "QueryIter",
    "QueueNotFoundError",
    "RetryLater",
    "RetryWarning",
    "RunError",
    "RunHandle",
    "RunState",
    "Runs",
    "ShardState",
    "Snooze",
    "Status",
    "StoreError",
    "Task",
    "TaskExistsError",
    "TaskHandle",
    "TaskState",
    "UnavailableError",
    "UnknownNameError",
    "UpdateEntitiesIter",
    "User",
    "current_task",
]

_LATER = {
    "CallableTask": "adjourn.callables",
    "DeleteEntitiesIter": "adjourn.entities",
    "OnError": "adjourn.hooks",
    "QueryIter": "adjourn.queryiter",
    "RunError": "adjourn.shards",
    "RunHandle": "adjourn.steering",
    "RunState": "adjourn.progress",
    "Runs": "adjourn.steering",
    "ShardState": "adjourn.progress",
    "Status": "adjourn.runs",
    "UpdateEntitiesIter": "adjourn.entities",
}


def __getattr__(name: str) -> object:
    """Import what not every function needs when it is first used: cold starts pay for imports."""
    if name not in _LATER:
        raise AttributeError(f"module 'adjourn' has no attribute {name!r}")
    return getattr(importlib.import_module(_LATER[name]), name)
