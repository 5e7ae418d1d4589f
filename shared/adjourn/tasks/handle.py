"""Handles of enqueued calls, to watch or cancel them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from adjourn.coroutines import off_loop
from adjourn.errors import EncodeError, EnqueueError
from adjourn.names import CallIdentity
from adjourn.ports import TaskQueue, TaskState
from adjourn.state.call_records import CallRecords

# What handles have where results are kept.
_OF_RESULTS = frozenset({"get", "ready", "result", "return_value", "status", "successful", "wait"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TaskHandle:
    """The handle of an enqueued call.

    Attributes:
        id: The identity of the call, the same over all attempts; None if `is_new` is False, since
            the existing task belongs to another call.
        name: Full name of its first task in Cloud Tasks.
        queue: Short name of the queue.
        eta: Earliest start; None for at once.
        is_new: False if nothing was enqueued: a task with this name existed already, or an
            overridden method ran at once.
    """

    id: str | None
    name: str
    queue: str
    eta: dt.datetime | None
    is_new: bool
    _queue: TaskQueue | None = field(repr=False)
    _records: CallRecords | None = field(default=None, repr=False)
    _task: str = field(default="", repr=False)
    _made_at: dt.datetime | None = field(default=None, repr=False)
    _on_cancelled: Callable[[], None] | None = field(default=None, repr=False)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            hint = (
                "; what a task returns is not kept. fetch() tells how it stands; store what others"
                " are to read"
                if name in _OF_RESULTS
                else ""
            )
            raise AttributeError(
                f"The handle of a call has no attribute {name!r}{hint}", name=name, obj=self
            )

    def cancel(self) -> bool:
        """Delete the call's task, whichever it is now; return False if the call has ended.

        A running attempt is not stopped, but nothing follows it.

        Raises:
            UnavailableError: Cloud Tasks could not be reached.
            StoreError: Datastore could not be reached; repeat it, since the call may go on.
        """
        is_cancelled = self._queue is not None and self._cancel(self._queue)
        if is_cancelled and self._on_cancelled is not None:
            self._on_cancelled()
        return is_cancelled

    def _cancel(self, queue: TaskQueue) -> bool:
        is_deleted = queue.delete(self.name)
        if self._records is None or self._call is None:
            return is_deleted
        # Also for a deleted task: its attempt may be about to enqueue the call again.
        record = self._records.cancel(self._call, is_certain=is_deleted)
        if record is None or not record.is_open:
            return False
        if record.task:
            queue.delete(record.task)
        return True

    def fetch(self) -> TaskState | None:
        """Return the state of the call's task, whichever it is now; None if the call has ended.

        Raises:
            UnavailableError: Cloud Tasks could not be reached.
            StoreError: Datastore could not be reached.
        """
        state = self._queue.fetch(self.name) if self._queue else None
        if state or self._queue is None or self._records is None or self._call is None:
            return state
        record = self._records.get(self._call)
        if record is None or not record.is_open or not record.task:
            return None
        state = self._queue.fetch(record.task)
        if state is None and record.parked and self._made_at:
            return TaskState(attempts=0, last_status="WAITING", next_start=self._made_at)
        return state

    async def acancel(self) -> bool:
        """Cancel the call without holding up the event loop; see `cancel`."""
        return await off_loop(self.cancel)

    async def afetch(self) -> TaskState | None:
        """Return the state of the call without holding up the event loop; see `fetch`."""
        return await off_loop(self.fetch)

    @property
    def _call(self) -> CallIdentity | None:
        if self.id is None or self._made_at is None:
            return None
        return CallIdentity.of(self.id, self._task, self._made_at)


Enqueued = TaskHandle | EncodeError | EnqueueError
