"""Deferred calls, cron fan-out and resumable Datastore iteration on Google Cloud."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from adjourn.errors import (
    AdjournError,
    BatchSealedError,
    CallCancelledError,
    CallDroppedError,
    CallFailedError,
    ConfigurationError,
    ConflictError,
    DeclarationError,
    DecodeError,
    Discard,
    EncodeError,
    EnqueueError,
    NoCurrentBatchError,
    NoCurrentTaskError,
    PermanentTaskFailure,
    ProcessDiedError,
    QueueNotFoundError,
    ResultError,
    ResultNotKeptError,
    ResultNotReadyError,
    ResultRefusedError,
    RetryLater,
    SchedulerError,
    Snooze,
    StoreError,
    StoreRefusedError,
    TaskCrashedError,
    TaskExistsError,
    TaskTimeoutError,
    UnavailableError,
    UnknownNameError,
    UnknownTypeError,
)

if TYPE_CHECKING:
    from adjourn.app import App
    from adjourn.batches.block import Batch
    from adjourn.batches.control import BatchChild, Batches, BatchHandle
    from adjourn.batches.current import CurrentBatch, current_batch
    from adjourn.batches.summary import BatchSummary
    from adjourn.callable_tasks.definitions import CallableTask
    from adjourn.callable_tasks.identity import User
    from adjourn.execution.current_task import CurrentTask, current_task
    from adjourn.execution.dead_letter import DeadLetter
    from adjourn.execution.retry_warning import RetryWarning
    from adjourn.flow.control import Flows, FlowView
    from adjourn.flow.limits import Flow
    from adjourn.iteration.bulk import DeleteEntitiesIter, UpdateEntitiesIter
    from adjourn.iteration.control import Runs
    from adjourn.iteration.item_lists import CsvFile, KeyList, RowList
    from adjourn.iteration.progress import RunState, ShardState
    from adjourn.iteration.query_iter import OnError, QueryIter
    from adjourn.iteration.run_handle import RunHandle
    from adjourn.iteration.shards import RunError
    from adjourn.iteration.status import Status
    from adjourn.iteration.tally import DryRun
    from adjourn.ports import TaskState
    from adjourn.schedules.control import Schedules
    from adjourn.schedules.schedule import Schedule
    from adjourn.serialization.types import Extension
    from adjourn.state.call_results import CallResult
    from adjourn.tasks.handle import TaskHandle
    from adjourn.tasks.results import Results
    from adjourn.tasks.task import Task

__version__ = "0.1.0"

__all__ = [
    "AdjournError",
    "App",
    "Batch",
    "BatchChild",
    "BatchHandle",
    "BatchSealedError",
    "BatchSummary",
    "Batches",
    "CallCancelledError",
    "CallDroppedError",
    "CallFailedError",
    "CallResult",
    "CallableTask",
    "ConfigurationError",
    "ConflictError",
    "CsvFile",
    "CurrentBatch",
    "CurrentTask",
    "DeadLetter",
    "DeclarationError",
    "DecodeError",
    "DeleteEntitiesIter",
    "Discard",
    "DryRun",
    "EncodeError",
    "EnqueueError",
    "Extension",
    "Flow",
    "FlowView",
    "Flows",
    "KeyList",
    "NoCurrentBatchError",
    "NoCurrentTaskError",
    "OnError",
    "PermanentTaskFailure",
    "ProcessDiedError",
    "QueryIter",
    "QueueNotFoundError",
    "ResultError",
    "ResultNotKeptError",
    "ResultNotReadyError",
    "ResultRefusedError",
    "Results",
    "RetryLater",
    "RetryWarning",
    "RowList",
    "RunError",
    "RunHandle",
    "RunState",
    "Runs",
    "Schedule",
    "SchedulerError",
    "Schedules",
    "ShardState",
    "Snooze",
    "Status",
    "StoreError",
    "StoreRefusedError",
    "Task",
    "TaskCrashedError",
    "TaskExistsError",
    "TaskHandle",
    "TaskState",
    "TaskTimeoutError",
    "UnavailableError",
    "UnknownNameError",
    "UnknownTypeError",
    "UpdateEntitiesIter",
    "User",
    "current_batch",
    "current_task",
]

_LATER = {
    "App": "adjourn.app",
    "Batch": "adjourn.batches.block",
    "BatchChild": "adjourn.batches.control",
    "Batches": "adjourn.batches.control",
    "BatchHandle": "adjourn.batches.control",
    "BatchSummary": "adjourn.batches.summary",
    "CallableTask": "adjourn.callable_tasks.definitions",
    "CallResult": "adjourn.state.call_results",
    "CsvFile": "adjourn.iteration.item_lists",
    "current_batch": "adjourn.batches.current",
    "current_task": "adjourn.execution.current_task",
    "CurrentBatch": "adjourn.batches.current",
    "CurrentTask": "adjourn.execution.current_task",
    "DeadLetter": "adjourn.execution.dead_letter",
    "DeleteEntitiesIter": "adjourn.iteration.bulk",
    "DryRun": "adjourn.iteration.tally",
    "Extension": "adjourn.serialization.types",
    "Flow": "adjourn.flow.limits",
    "Flows": "adjourn.flow.control",
    "FlowView": "adjourn.flow.control",
    "KeyList": "adjourn.iteration.item_lists",
    "OnError": "adjourn.iteration.query_iter",
    "QueryIter": "adjourn.iteration.query_iter",
    "Results": "adjourn.tasks.results",
    "RetryWarning": "adjourn.execution.retry_warning",
    "RowList": "adjourn.iteration.item_lists",
    "RunError": "adjourn.iteration.shards",
    "RunHandle": "adjourn.iteration.run_handle",
    "Runs": "adjourn.iteration.control",
    "RunState": "adjourn.iteration.progress",
    "Schedule": "adjourn.schedules.schedule",
    "Schedules": "adjourn.schedules.control",
    "ShardState": "adjourn.iteration.progress",
    "Status": "adjourn.iteration.status",
    "Task": "adjourn.tasks.task",
    "TaskHandle": "adjourn.tasks.handle",
    "TaskState": "adjourn.ports",
    "UpdateEntitiesIter": "adjourn.iteration.bulk",
    "User": "adjourn.callable_tasks.identity",
}


def __getattr__(name: str) -> object:
    """Import what a name stands for when it is first used: not every process needs all of it."""
    if name not in _LATER:
        raise AttributeError(f"module 'adjourn' has no attribute {name!r}")
    found: object = getattr(importlib.import_module(_LATER[name]), name)
    globals()[name] = found
    return found
