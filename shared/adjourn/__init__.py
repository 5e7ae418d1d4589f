"""Deferred calls, cron fan-out and resumable Datastore iteration on Google Cloud."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

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
from adjourn.handle import TaskHandle
from adjourn.ports import TaskState
from adjourn.tasks import Task

if TYPE_CHECKING:
    from adjourn.iteration.entities import DeleteEntitiesIter, UpdateEntitiesIter
    from adjourn.iteration.hooks import OnError
    from adjourn.iteration.progress import RunState, ShardState
    from adjourn.iteration.queryiter import QueryIter
    from adjourn.iteration.runs import Status
    from adjourn.iteration.shards import RunError
    from adjourn.iteration.steering import RunHandle, Runs
    from adjourn.people.callables import CallableTask
    from adjourn.people.identity import User

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
    "CallableTask": "adjourn.people.callables",
    "DeleteEntitiesIter": "adjourn.iteration.entities",
    "OnError": "adjourn.iteration.hooks",
    "QueryIter": "adjourn.iteration.queryiter",
    "RunError": "adjourn.iteration.shards",
    "RunHandle": "adjourn.iteration.steering",
    "RunState": "adjourn.iteration.progress",
    "Runs": "adjourn.iteration.steering",
    "ShardState": "adjourn.iteration.progress",
    "Status": "adjourn.iteration.runs",
    "UpdateEntitiesIter": "adjourn.iteration.entities",
    "User": "adjourn.people.identity",
}


def __getattr__(name: str) -> object:
    """Import what not every function needs when it is first used: cold starts pay for imports."""
    if name not in _LATER:
        raise AttributeError(f"module 'adjourn' has no attribute {name!r}")
    return getattr(importlib.import_module(_LATER[name]), name)
