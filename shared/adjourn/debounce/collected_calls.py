"""Make debounced and throttled calls."""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from inspect import BoundArguments
from typing import Any, NamedTuple

from adjourn.concurrency import in_parallel
from adjourn.debounce.window import Stamp, Window
from adjourn.debounce.window_records import Noted, WindowRecords
from adjourn.errors import (
    AdjournError,
    ConflictError,
    DeclarationError,
    EncodeError,
    EnqueueError,
    UnavailableError,
)
from adjourn.log import event
from adjourn.names import digest
from adjourn.serialization.canonical import canonical
from adjourn.serialization.codec import Codec
from adjourn.serialization.envelope import Envelope
from adjourn.state.combining import Combiner
from adjourn.tasks.arguments import check_arguments
from adjourn.tasks.enqueue import Enqueuer
from adjourn.tasks.handle import Enqueued, TaskHandle
from adjourn.tasks.task import Task
from adjourn.tasks.unique import content_of

_ATTEMPTS = 20


class _Made(NamedTuple):
    """A call that is to open a window or to join it.

    Attributes:
        task: Its task, with the options of the call.
        call: The call.
        enqueuer: Enqueues it.
    """

    task: Task[..., Any]
    call: Envelope
    enqueuer: Enqueuer


class CollectedCalls:
    """Makes the calls of which only some run: the first of a window opens it, others join it.

    A call has been kept when it returns. The task of a window carries the call that opened it. Of
    those that join at the same time, the last one is written, for all of them; then it is made sure
    that the window is open and has its task.
    """

    def __init__(self) -> None:
        self._combined = Combiner(_collect)

    def make(
        self,
        enqueuer: Enqueuer,
        task: Task[..., Any],
        calls: Sequence[tuple[tuple[object, ...], Mapping[str, object]]],
        user_start: str,
    ) -> Sequence[Enqueued]:
        """Make calls, of which the last one is taken for the latest.

        Args:
            enqueuer: Enqueues them.
            task: The task.
            calls: Their positional and keyword arguments.
            user_start: Name of the record that a user was checked who started them.

        Returns:
            For each call: a handle, or the error because of which it was not made.

        Raises:
            DeclarationError: They are made inside a transaction.
            StoreError: Datastore could not be reached; they may still run.
        """
        if enqueuer.markers.transaction(task.defaults.transaction) is not None:
            raise DeclarationError(
                f"{task.name} is debounced or throttled; call it after the transaction."
            )
        results: list[Enqueued | None] = [None] * len(calls)
        groups: dict[str, dict[int, _Made]] = {}
        for number, (args, kwargs) in enumerate(calls):
            try:
                key, call = _made(enqueuer, task, args, kwargs, user_start)
            except (EncodeError, EnqueueError) as error:
                results[number] = error
                continue
            group = groups.setdefault(key, {})
            if group:  # by their times it is told which call is the last
                before = next(reversed(group.values())).call.enqueued_at
                at = max(call.enqueued_at, before + dt.timedelta.resolution)
                call = call._replace(enqueued_at=at)
            group[number] = _Made(task, call, enqueuer)
        is_one = len(groups) == 1  # which needs no further thread
        done = (map if is_one else in_parallel)(self._result, list(groups.items()))
        for group, found in zip(groups.values(), done, strict=True):
            for number, result in zip(group, found, strict=True):
                results[number] = result
        return [each for each in results if each is not None]

    def _result(self, group: tuple[str, dict[int, _Made]]) -> Sequence[Enqueued]:
        key, made = group
        try:
            found: Sequence[Enqueued] = self._combined(key, tuple(made.values()))
        except EnqueueError as error:
            return [error] * len(made)
        return found


def _made(
    enqueuer: Enqueuer,
    task: Task[..., Any],
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
    user_start: str,
) -> tuple[str, Envelope]:
    """Return the key of a call, and the call.

    Raises:
        EncodeError: An argument, or what `by` returns, cannot be encoded.
    """
    accepted = check_arguments(task.name, task.function, args, kwargs)
    key = _key(task, accepted, enqueuer.codec)
    call = enqueuer.envelope(task, accepted.args, accepted.kwargs, user_start=user_start)
    call.encode(enqueuer.codec)  # also one that others supersede has to be sound
    return key, call


def _key(task: Task[..., Any], accepted: BoundArguments, codec: Codec) -> str:
    by = task.defaults.by
    content: list[Any] = [task.name]
    if callable(by):
        content += [
            "by",
            canonical(codec.encode(by(*accepted.args, **accepted.kwargs), "by"), codec),
        ]
    elif by != "task":
        content += ["arguments", *content_of(accepted, codec)]
    return digest(json.dumps(content, sort_keys=True), 40)


def _collect(key: str, groups: Sequence[Sequence[_Made]]) -> Sequence[Sequence[Enqueued]]:
    """Make the calls of several threads that have the same key."""
    pending = sorted((each for group in groups for each in group), key=_order)
    results: dict[str, Enqueued] = {}
    for _ in range(_ATTEMPTS):
        results |= _try(key, pending)
        pending = [each for each in pending if each.call.id not in results]
        if not pending:
            break
    for made in pending:
        text = f"{made.task.name}: its windows have ended faster than it was noted."
        results[made.call.id] = UnavailableError(text)
    return [[results[each.call.id] for each in group] for group in groups]


def _try(key: str, pending: Sequence[_Made]) -> Mapping[str, Enqueued]:
    """Open the present window or join it; return the results, none if it has ended meanwhile."""
    (task, call, enqueuer), others = pending[0], pending[1:]
    records = WindowRecords(adapters=enqueuer.adapters)
    state = records.state(key)
    window = _window(task, key, call)._replace(generation=state.generation)
    if state.task:
        return _joined(records, window, pending, state.task)
    waiting = call._replace(id=window.task_name, window=window.fields())
    try:
        handle = enqueuer.put(waiting, window.task_name, window.end(call.enqueued_at))
    except EncodeError as error:
        return {call.id: error}
    if not handle.is_new:
        return _joined(records, window, pending, handle.name)
    opened = {call.id: _opened(records, window, pending[0], handle)}
    return {**opened, **_joined(records, window, others, handle.name)} if others else opened


def _opened(records: WindowRecords, window: Window, made: _Made, waiting: TaskHandle) -> TaskHandle:
    """Return the handle of the call that has opened a window."""
    _, call, enqueuer = made
    handle = enqueuer.put(call, call.id) if window.is_throttle else waiting
    try:
        records.open(window, waiting.name)
    except AdjournError as error:
        # The task is there, as others find out when they want to create it.
        event("service.unavailable", logging.WARNING, str(error), error=error)
    if window.is_throttle:
        return handle
    return replace(handle, _on_cancelled=partial(records.skip, window))


def _joined(
    records: WindowRecords, window: Window, pending: Sequence[_Made], task: str
) -> Mapping[str, Enqueued]:
    """Write the last call into a window, for all of them; return {} if it has ended meanwhile."""
    _, call, enqueuer = pending[-1]
    queue, stamp = enqueuer.adapters.queue, _stamp(call)
    try:
        body = enqueuer.payloads.body_for(call, enqueuer.codec, None)
    except EncodeError as error:
        return {call.id: error}
    records.note(window, Noted(stamp, body))
    state = records.state(window.key)
    if state.generation == window.generation:
        if queue.fetch(state.task or task) is None:
            if records.state(window.key) == state:  # it was deleted, as when a queue is purged
                with suppress(ConflictError):  # another caller does the same
                    records.skip(window)
            return {}
    elif stamp > state.last:
        return {}
    handle = TaskHandle(
        id=None,
        name=state.task or task,
        queue=call.queue,
        eta=None,
        is_new=False,
        _queue=queue,
        _on_cancelled=partial(records.skip, window),
    )
    return {each.call.id: replace(handle, queue=each.call.queue) for each in pending}


def _order(made: _Made) -> Stamp:
    return _stamp(made.call)


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
