"""Make debounced and throttled calls."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from inspect import BoundArguments
from typing import Any

from adjourn.debounce.window import Stamp, Window
from adjourn.debounce.window_records import Noted, WindowRecords
from adjourn.errors import AdjournError, ConflictError, DeclarationError, UnavailableError
from adjourn.log import event
from adjourn.names import digest
from adjourn.serialization.canonical import canonical
from adjourn.serialization.envelope import Envelope
from adjourn.tasks.enqueue import Enqueuer
from adjourn.tasks.handle import TaskHandle
from adjourn.tasks.task import Task
from adjourn.tasks.unique import content_of

_ATTEMPTS = 20


@dataclass(kw_only=True, eq=False, repr=False)
class CollectedCalls:
    """Makes the calls of which only some run: the first of a window opens it, others join it.

    A call has been kept when it returns. The task of a window carries the call that opened it. One
    that joins is written first; then it is made sure that the window is open and has its task.
    """

    enqueuer: Enqueuer

    @property
    def _records(self) -> WindowRecords:
        return WindowRecords(adapters=self.enqueuer.adapters)

    def call(self, task: Task[..., Any], accepted: BoundArguments, user_start: str) -> TaskHandle:
        """Make a call.

        Raises:
            DeclarationError: It is made inside a transaction.
            EncodeError: An argument, or what `by` returns, cannot be encoded.
            EnqueueError: Cloud Tasks did not accept a task; the call may still run.
            StoreError: Datastore could not be reached; the call may still run.
        """
        options, enqueuer = task.defaults, self.enqueuer
        if enqueuer.markers.transaction(options.transaction) is not None:
            raise DeclarationError(
                f"{task.name} is debounced or throttled; call it after the transaction."
            )
        key = self._key(task, accepted)
        args, kwargs = accepted.args, accepted.kwargs
        call = enqueuer.envelope(task, args, kwargs, user_start=user_start)
        for _ in range(_ATTEMPTS):
            handle = self._try(_window(task, key, call), call)
            if handle is not None:
                return handle
        raise UnavailableError(f"{task.name}: its windows have ended faster than it was noted.")

    def _key(self, task: Task[..., Any], accepted: BoundArguments) -> str:
        by, codec = task.defaults.by, self.enqueuer.codec
        content: list[Any] = [task.name]
        if callable(by):
            content += [
                "by",
                canonical(codec.encode(by(*accepted.args, **accepted.kwargs), "by"), codec),
            ]
        elif by != "task":
            content += ["arguments", *content_of(accepted, codec)]
        return digest(json.dumps(content, sort_keys=True), 40)

    def _try(self, window: Window, call: Envelope) -> TaskHandle | None:
        """Open the present window or join it; return None if it has ended meanwhile."""
        state = self._records.state(window.key)
        window = window._replace(generation=state.generation)
        if not state.task:
            waiting = call._replace(id=window.task_name, window=window.fields())
            handle = self.enqueuer.put(waiting, window.task_name, window.end(call.enqueued_at))
            if handle.is_new:
                return self._opened(window, call, handle)
            state = state._replace(task=handle.name)
        return self._joined(window, call, state.task)

    def _opened(self, window: Window, call: Envelope, waiting: TaskHandle) -> TaskHandle:
        """Return the handle of the call that has opened a window."""
        handle = self.enqueuer.put(call, call.id) if window.is_throttle else waiting
        try:
            self._records.open(window, waiting.name)
        except AdjournError as error:
            # The task is there, as others find out when they want to create it.
            event("service.unavailable", logging.WARNING, str(error), error=error)
        if window.is_throttle:
            return handle
        return replace(handle, _on_cancelled=partial(self._records.skip, window))

    def _joined(self, window: Window, call: Envelope, task: str) -> TaskHandle | None:
        records, queue, stamp = self._records, self.enqueuer.adapters.queue, _stamp(call)
        body = self.enqueuer.payloads.body_for(call, self.enqueuer.codec, None)
        records.note(window, Noted(stamp, body))
        state = records.state(window.key)
        if state.generation == window.generation:
            if queue.fetch(state.task or task) is None:
                if records.state(window.key) == state:  # it was deleted, as when a queue is purged
                    with suppress(ConflictError):  # another caller does the same
                        records.skip(window)
                return None
        elif stamp > state.last:
            return None
        return TaskHandle(
            id=None,
            name=state.task or task,
            queue=call.queue,
            eta=None,
            is_new=False,
            _queue=queue,
            _on_cancelled=partial(records.skip, window),
        )


def _stamp(call: Envelope) -> Stamp:
    return Stamp(call.enqueued_at, call.id)


def _window(task: Task[..., Any], key: str, call: Envelope) -> Window:
    options = task.defaults
    wait = options.debounce or options.throttle
    assert wait is not None  # noqa: S101 - it is collected
    return Window(
        key=key,
        generation=0,
        wait=wait.total_seconds(),
        longest=options.max_wait.total_seconds() if options.max_wait else None,
        first=_stamp(call),
        is_throttle=options.throttle is not None,
    )
