"""Debounced and throttled calls, whose code is imported when there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adjourn.debounce.collected_calls import CollectedCalls
    from adjourn.execution.call import CallExecutor
    from adjourn.execution.current_task import Call
    from adjourn.execution.delivery import Outcome
    from adjourn.tasks.enqueue import Enqueuer
    from adjourn.tasks.handle import Enqueued
    from adjourn.tasks.task import Task


class Collecting:
    """Makes debounced and throttled calls."""

    def __call__(
        self,
        enqueuer: Enqueuer,
        task: Task[..., Any],
        calls: Sequence[tuple[tuple[object, ...], Mapping[str, object]]],
        user_start: str,
    ) -> Sequence[Enqueued]:
        """Make calls; see `CollectedCalls.make`."""
        return self._calls.make(enqueuer, task, calls, user_start)

    @cached_property
    def _calls(self) -> CollectedCalls:
        from adjourn.debounce.collected_calls import CollectedCalls  # noqa: PLC0415 - for some

        return CollectedCalls()


def end_window(call: Call, executor: CallExecutor) -> Outcome | None:
    """Receive the task of a window; see `Collector.receive`."""
    from adjourn.debounce.collector import Collector  # noqa: PLC0415 - for such tasks

    return Collector(enqueuer=executor.enqueuer).receive(call, executor)
