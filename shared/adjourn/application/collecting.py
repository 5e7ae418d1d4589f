"""Debounced and throttled calls, whose code is imported when there is one."""

from __future__ import annotations

from inspect import BoundArguments
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adjourn.execution.call import CallExecutor
    from adjourn.execution.current_task import Call
    from adjourn.execution.delivery import Outcome
    from adjourn.tasks.enqueue import Enqueuer
    from adjourn.tasks.handle import TaskHandle
    from adjourn.tasks.task import Task


def collect(
    enqueuer: Enqueuer, task: Task[..., Any], accepted: BoundArguments, user_start: str
) -> TaskHandle:
    """Make a debounced or throttled call; see `CollectedCalls.call`."""
    from adjourn.debounce.collected_calls import CollectedCalls  # noqa: PLC0415 - for those who do

    return CollectedCalls(enqueuer=enqueuer).call(task, accepted, user_start)


def end_window(call: Call, executor: CallExecutor) -> Outcome | None:
    """Receive the task of a window; see `Collector.receive`."""
    from adjourn.debounce.collector import Collector  # noqa: PLC0415 - for such tasks

    return Collector(enqueuer=executor.enqueuer).receive(call, executor)
