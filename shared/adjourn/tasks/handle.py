"""Handles of enqueued calls, to watch or cancel them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from adjourn.coroutines import off_loop
from adjourn.errors import EncodeError, EnqueueError, ResultNotKeptError
from adjourn.names import CallIdentity
from adjourn.ports import TaskQueue, TaskState

if TYPE_CHECKING:
    from adjourn.state.call_records import CallRecords
    from adjourn.tasks.results import Results

# What handles have elsewhere.
_OF_RESULTS = frozenset({"get", "ready", "return_value", "status", "successful", "wait"})


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
    _results: Callable[[], Results] | None = field(default=None, repr=False)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            hint = (
                "; fetch() tells how the call stands, and result() returns what it returned if its"
                " task is declared with keep_result=..."
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

    def result(self, wait: dt.timedelta | float = 0) -> Any:
        """Return what the call returned, if its task is declared with `keep_result`.

        Args:
            wait: How long to wait for it, as a timedelta or in seconds. Datastore is asked at
                growing intervals, in the end every five seconds.

        Raises:
            ResultNotReadyError: It has not ended yet.
            ResultNotKeptError: It keeps no result, the time for which it was kept is over, or this
                is the handle of a call that existed.
            CallFailedError: It was given up.
            CallCancelledError: It was cancelled.
            CallDroppedError: It expired, raised `Discard`, or its transaction was rolled back.
            ResultRefusedError: What it returned is too large or cannot be encoded.
            DecodeError: What it returned cannot be read here, such as for a type that is not
                registered.
            UnavailableError: Cloud Tasks could not be reached.
            StoreError: Datastore could not be reached.
        """
        results, call = self._kept()
        return results.wait_for(call, wait, lambda: self.fetch() is None)

    async def aresult(self, wait: dt.timedelta | float = 0) -> Any:
        """Return what the call returned without holding up the event loop; see `result`."""
        results, call = self._kept()
        return await results.await_for(call, wait, lambda: self.fetch() is None)

    def _kept(self) -> tuple[Results, CallIdentity]:
        if self._call is None:
            raise ResultNotKeptError(
                "This handle is of a call that existed, or ran at once; only the handle that made"
                " a call reads its result, or app.results.get(id)."
            )
        if self._results is None:
            raise ResultNotKeptError(
                f"{self._task} keeps no result; declare it with @app.deferred(keep_result=...)."
            )
        return self._results(), self._call

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
