"""Spans and metrics of enqueued calls, in processes that use OpenTelemetry's SDK."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from adjourn.tasks.handle import Enqueued, TaskHandle
from adjourn.tasks.prepared import Tried
from adjourn.telemetry import conventions as names
from adjourn.telemetry.sending import Sending, sent_in_batches


def observed(task: str, queue: str, enqueue: Callable[[], TaskHandle]) -> TaskHandle:
    """Return the handle of a call that is enqueued while its span is the current one."""
    with Sending("send", task, queue) as sending:
        handle = enqueue()
        sending.sent(_told(handle), is_new=handle.is_new)
    return handle


def observed_batch(
    task: str,
    queue: str,
    create: Callable[[Iterable[Tried]], Iterator[Enqueued]],
    prepared: Iterable[Tried],
) -> Iterator[Enqueued]:
    """Yield the results of enqueuing calls, of which one span stands for all."""
    sending = Sending("send", task, queue)
    return sent_in_batches(sending, create, prepared, lambda handle: handle.is_new)


def _told(handle: TaskHandle) -> dict[str, Any]:
    return {names.MESSAGE_ID: handle.name.rpartition("/")[2], names.CALL_ID: handle.id}
