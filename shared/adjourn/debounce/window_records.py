"""What is stored of windows: which one is open, the latest calls in it, and how it was closed.

A call is written blindly, in one of many records at random, so that any number of callers get on
without waiting for each other. A caller writes its call and then reads whether the window is still
open; who closes it notes that first and then reads the calls. So whatever the order, one of both
sees the other.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from adjourn.debounce.window import Stamp, Window
from adjourn.errors import ConflictError
from adjourn.ports import Adapters, Record, RecordKey, Transaction, Value
from adjourn.retrying import retry
from adjourn.serialization.stored_seals import opened, sealed

KIND = "AdjournDebounce"
# Of a window: longer than its task can live, and the name of that be remembered.
KEPT = dt.timedelta(days=66)
# The number of the window, which must not begin anew while records of former windows may be there.
STATE_KEPT = dt.timedelta(days=400)
# Google advises one write in a second for an entity, in the long run
# (https://cloud.google.com/datastore/docs/cloud-datastore-best-practices).
SHARDS = 32
_UNINDEXED = ("body", "at", "call")
_NEVER = Stamp(dt.datetime.min.replace(tzinfo=dt.UTC), "")


class WindowState(NamedTuple):
    """The windows of calls that belong together.

    Attributes:
        generation: How many have been closed, which is the number of the present one.
        task: Full name of the task that waits for the end of the present one; "" if none is known.
        begun: The generation whose first call is known to be enqueued, of throttled calls.
        last: The latest call that was taken.
    """

    generation: int = 0
    task: str = ""
    begun: int = -1
    last: Stamp = _NEVER


class Noted(NamedTuple):
    """A call that was made within a window.

    Attributes:
        stamp: When, and its id.
        body: The call, as the body of a task.
    """

    stamp: Stamp
    body: bytes


@dataclass(kw_only=True, eq=False, repr=False)
class WindowRecords:
    """The records of windows, of the kind `AdjournDebounce`.

    Every method raises StoreError if Datastore could not be reached.
    """

    adapters: Adapters

    def state(self, key: str) -> WindowState:
        """Return how the windows of a key stand."""
        return _state(self.adapters.store.get([_key(key)])[0])

    def open(self, window: Window, task: str) -> None:
        """Note the task of a window, and that its first call is enqueued if it runs at once."""
        self._change(
            window, lambda state: state._replace(task=state.task or task, begun=window.generation)
        )

    def follow(self, window: Window, task: str) -> None:
        """Note the task that now waits for the end of a window."""
        self._change(window, lambda state: state._replace(task=task))

    def note(self, window: Window, noted: Noted) -> None:
        """Write a call of a window, without regard to others."""
        record = self._record(window, noted)

        def put() -> None:
            shard = int(self.adapters.chance() * SHARDS) % SHARDS
            key = _shard_key(window, shard)
            self.adapters.store.put(key, record, unindexed=_UNINDEXED)

        # Another record is chosen each time, and the store has waited before it gave up.
        retry(put, pauses=(0.0,) * 4, is_transient=lambda error: isinstance(error, ConflictError))

    def latest(self, window: Window) -> Noted | None:
        """Return the latest call that was written in a window; None if there is none."""
        keys = [_shard_key(window, shard) for shard in range(SHARDS)]
        found = [_noted(record) for record in self.adapters.store.get(keys) if record]
        if not found:
            return None
        latest = max(found, key=lambda each: each.stamp)
        return latest._replace(body=self._opened(window, latest.body))

    def close(self, window: Window, next_task: str = "") -> bool:
        """Let no further call belong to a window; return False if nothing of it is to run.

        Args:
            window: The window.
            next_task: Full name of the task that waits for the end of the next window, if that is
                open already.
        """

        def work(transaction: Transaction) -> bool:
            record, closed = transaction.get([_key(window.key), _closed_key(window)])
            state = _state(record)
            if state.generation == window.generation:
                begun = state.generation + 1 if next_task else state.begun
                after = state._replace(generation=state.generation + 1, task=next_task, begun=begun)
                self._put(transaction, window.key, after)
            return closed is None or bool(closed["body"])

        return self.adapters.store.transact(work)

    def choose(self, window: Window, candidate: Noted | None) -> bytes:
        """Decide for good which call of a closed window runs, and return it; b"" for none.

        None runs if a later one was taken by then, such as that of the next window.

        Args:
            window: The window.
            candidate: The latest call.
        """

        def work(transaction: Transaction) -> bytes:
            record, closed = transaction.get([_key(window.key), _closed_key(window)])
            state = _state(record)
            if closed is not None:
                taken = _noted(closed)
                return self._opened(window, taken.body) if taken.stamp == state.last else b""
            if candidate is None or candidate.stamp <= state.last:
                self._put_closed(transaction, window, Noted(state.last, b""))
                return b""
            self._put(transaction, window.key, state._replace(last=candidate.stamp))
            self._put_closed(transaction, window, candidate)
            return candidate.body

        return self.adapters.store.transact(work)

    def skip(self, window: Window) -> None:
        """Close a window of which nothing is to run, since its task was cancelled or is gone."""

        def work(transaction: Transaction) -> None:
            record, closed = transaction.get([_key(window.key), _closed_key(window)])
            state = _state(record)
            if state.generation == window.generation:
                after = state._replace(generation=state.generation + 1, task="")
                self._put(transaction, window.key, after)
                if closed is None:
                    self._put_closed(transaction, window, Noted(state.last, b""))

        self.adapters.store.transact(work)

    def _change(self, window: Window, change: Callable[[WindowState], WindowState]) -> None:
        """Change the state while a window is open."""

        def work(transaction: Transaction) -> None:
            state = _state(transaction.get([_key(window.key)])[0])
            if state.generation == window.generation and change(state) != state:
                self._put(transaction, window.key, change(state))

        self.adapters.store.transact(work)

    def _put(self, transaction: Transaction, key: str, state: WindowState) -> None:
        fields: dict[str, Value] = {
            "generation": state.generation,
            "task": state.task,
            "begun": state.begun,
            "last_at": state.last.at,
            "last_call": state.last.call,
        }
        record: Record = {**fields, "expires_at": self.adapters.clock.now() + STATE_KEPT}
        transaction.put(_key(key), record, unindexed=tuple(fields))

    def _put_closed(self, transaction: Transaction, window: Window, taken: Noted) -> None:
        record = self._record(window, taken)
        transaction.put(_closed_key(window), record, unindexed=_UNINDEXED)

    def _record(self, window: Window, noted: Noted) -> Record:
        return {
            "body": self._sealed(window, noted.body) if noted.body else b"",
            "at": noted.stamp.at,
            "call": noted.stamp.call,
            "expires_at": self.adapters.clock.now() + KEPT,
        }

    def _sealed(self, window: Window, body: bytes) -> bytes:
        return sealed(self.adapters.sealer, body, f"debounce/{window.key}")

    def _opened(self, window: Window, stored: bytes) -> bytes:
        if not stored:
            return b""
        return opened(self.adapters.sealer, stored, f"debounce/{window.key}", "a debounced call")


def _key(key: str) -> RecordKey:
    return RecordKey(KIND, key)


def _closed_key(window: Window) -> RecordKey:
    return RecordKey(KIND, f"{window.key}-{window.generation}")


def _shard_key(window: Window, shard: int) -> RecordKey:
    return RecordKey(KIND, f"{window.key}-{window.generation}-{shard}")


def _state(record: Record | None) -> WindowState:
    if record is None:
        return WindowState()
    fields: dict[str, Any] = dict(record)
    return WindowState(
        generation=fields["generation"],
        task=fields["task"],
        begun=fields["begun"],
        last=Stamp(fields["last_at"], fields["last_call"]),
    )


def _noted(record: Record) -> Noted:
    fields: dict[str, Any] = dict(record)
    return Noted(Stamp(fields["at"], fields["call"]), fields["body"])
