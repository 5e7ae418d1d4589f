"""Receive the children of batches: each runs unless it has ended, and its end is marked."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from dataclasses import dataclass

from adjourn.batches.cancelling import Canceller
from adjourn.batches.current import RunningChild, running
from adjourn.batches.ends import Ends, reopen
from adjourn.batches.place import ADDED, Place, State
from adjourn.batches.records import BatchRecord, batch_key
from adjourn.batches.shards import Shard, shard_key
from adjourn.batches.unmade import UnmadeChildren
from adjourn.errors import ConflictError
from adjourn.execution.call import SKEW, CallExecutor
from adjourn.execution.current_task import Call
from adjourn.execution.dead_letters import KIND as DEAD_LETTERS
from adjourn.execution.delivery import Outcome
from adjourn.log import event
from adjourn.ports import Adapters
from adjourn.retrying import retry
from adjourn.state.owned_records import owned
from adjourn.tasks.enqueue import Enqueuer

Admit = Callable[[Call], Outcome | None]
Drop = Callable[[Call, str], Outcome]

_ENDS = {
    Outcome.DONE: State.DONE,
    Outcome.DROPPED: State.CANCELLED,
    Outcome.DEAD: State.FAILED,
}
_PAUSES = (0.05, 0.1, 0.2, 0.4)  # seconds, if others keep writing to the same shard
_GUARD_PAUSE, _GUARD_PATIENCE = dt.timedelta(minutes=1), dt.timedelta(hours=1)


@dataclass(kw_only=True, eq=False, repr=False)
class ChildReceiver:
    """Receives the calls that are children of batches, and the tasks that look after batches."""

    executor: CallExecutor
    ends: Ends

    @property
    def _adapters(self) -> Adapters:
        return self.executor.adapters

    @property
    def _enqueuer(self) -> Enqueuer:
        return self.executor.enqueuer

    def __call__(self, call: Call, admit: Admit, drop: Drop) -> Outcome | None:
        """Admit a child unless it has ended or its batch is cancelled, and mark its end.

        Args:
            call: The call.
            admit: Runs it, unless there is another reason not to.
            drop: Drops it for a reason.

        Raises:
            StoreError: The end could not be marked; nothing may be acknowledged.
            ConflictError: Likewise, as others are writing.
            EnqueueError: What follows from the end could not be enqueued; nothing may be
                acknowledged.
        """
        place = Place.of(call.envelope.batch)
        if place is None:
            return self._look_after(call)
        found = self._adapters.store.get([batch_key(place.batch), shard_key(place.shard)])
        record, shard = BatchRecord.of(place.batch, found[0]), Shard.of(place.shard, found[1])
        state = shard and shard.children.state_of(place.key)
        if record is None or shard is None or state is None:
            text = f"{call.envelope.task} is not registered in its batch (any more); it runs alone"
            event("batch.unknown", logging.WARNING, text, batch=place.batch)
            return admit(call)
        if state is State.FAILED and self._is_replayed(call):
            self._adapters.store.transact(lambda transaction: reopen(transaction, place))
            state = State.OPEN
        if state is not State.OPEN:
            event("task.duplicate", logging.INFO, f"{call.envelope.task} has ended in its batch")
            if state is State.CANCELLED:  # maybe without having come
                drop(call, "its batch was cancelled")
            self._mark(place, state)
            return Outcome.DONE
        if record.is_cancelled:
            event("task.cancelled", logging.INFO, f"{call.envelope.task}: its batch is cancelled")
            outcome: Outcome | None = drop(call, "its batch was cancelled")
            self._mark(place, State.CANCELLED)
            return outcome
        return self._run(call, record, shard, admit, place)

    def _run(
        self, call: Call, record: BatchRecord, shard: Shard, admit: Admit, place: Place
    ) -> Outcome | None:
        child = RunningChild(self._enqueuer, self.ends, place)
        with running(child):
            outcome = admit(call)
        end = self._end_of(call, outcome)
        if end is None:
            return outcome
        is_retried = bool(call.attempt.retry_count or call.envelope.resumed)
        has_added = not ADDED.isdisjoint(shard.children.kinds)
        if child.has_unmade or (is_retried and has_added):
            why = f"added {place.child} {record.round}"
            self.ends.call_guard(record, why, _GUARD_PAUSE, place[1:])
        self._mark(place, end)
        return outcome

    def _end_of(self, call: Call, outcome: Outcome | None) -> State | None:
        """Return the end of a call; None if it has not ended with this delivery."""
        state = _ENDS.get(outcome) if outcome else None
        if state is not State.DONE:
            return state
        envelope = call.envelope
        # Only such a delivery is also done if it was another one that ran the call.
        has_others = call.attempt.retry_count or envelope.resumed or envelope.flow
        if not (has_others or call.is_watched or envelope.once or envelope.no_retry):
            return state
        record = self.executor.watch.records.get(envelope.identity)
        if record is not None and record.is_cancelled:
            return State.CANCELLED
        if record is not None and record.is_open and record.resumed > envelope.resumed:
            return None  # it goes on as another task
        return State.FAILED if self._is_dead(call) else State.DONE

    def _is_dead(self, call: Call) -> bool:
        """Whether a call has a dead letter that is not being replayed."""
        letter = owned(self._adapters.store, DEAD_LETTERS, call.envelope.identity)[1]
        return letter is not None and letter.get("replayed_at") is None

    def _is_replayed(self, call: Call) -> bool:
        """Whether a failed call was replayed before its failure was marked."""
        return call.delivery.task_name.endswith("-replayed") and not self._is_dead(call)

    def _mark(self, place: Place, state: State) -> None:
        retry(
            lambda: self.ends.end(place, state),
            pauses=_PAUSES,
            is_transient=lambda error: isinstance(error, ConflictError),
        )

    def _look_after(self, call: Call) -> Outcome | None:
        """Look after a batch whose end, or whose cancellation, may not have had its effects."""
        if call.envelope.args:
            UnmadeChildren(ends=self.ends).drop(*map(str, call.envelope.args))
        record = self.ends.look_after(call.envelope.batch)
        if record is None:
            return Outcome.DONE
        now = self._adapters.clock.now()
        if not record.is_sealed and now - call.envelope.enqueued_at < _GUARD_PATIENCE:
            return self.executor.resume(call, now + _GUARD_PAUSE, counts=False)
        if record.cancelled_at is None or record.ended_at is not None:
            return Outcome.DONE
        # By then, what has begun before has ended: the others know that they must not begin.
        longest = dt.timedelta(seconds=self.executor.settings.function_timeout) + 2 * SKEW
        is_late = now >= record.cancelled_at + longest
        Canceller(ends=self.ends).cancel_below(record, is_late=is_late)
        if is_late:
            return Outcome.DONE
        return self.executor.resume(call, record.cancelled_at + longest, counts=False)
