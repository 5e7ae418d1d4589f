"""The guard: a task that comes to a line when a holder of a permit may have died."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress

from adjourn.errors import TaskExistsError
from adjourn.flow.limits import GUARD
from adjourn.names import digest_of
from adjourn.ports import Adapters, NewTask, Target
from adjourn.serialization.codec import Codec
from adjourn.serialization.envelope import Envelope


def call_guard(
    adapters: Adapters, flow: str, key: str, *, queue: str, at: dt.datetime | None = None
) -> None:
    """Call a guard to a key of a flow; again is harmless, by the name of its task.

    Args:
        adapters: The services.
        flow: Name of the flow.
        key: The key.
        queue: Short name of the queue.
        at: When it comes; None for at once, each time anew.

    Raises:
        EnqueueError: Cloud Tasks did not accept the task.
    """
    when = "" if at is None else at.isoformat()
    name = digest_of(flow, key, when or adapters.new_id())
    envelope = Envelope(
        id=name,
        task=GUARD,
        args=(flow, key, when),
        enqueued_at=adapters.clock.now(),
        queue=queue,
        eta=at,
    )
    body = envelope.encode(Codec())
    with suppress(TaskExistsError):
        adapters.queue.enqueue(
            NewTask(target=Target.DEFERRED, label=GUARD, queue=queue, body=body, name=name, eta=at)
        )


def time_of(text: str) -> dt.datetime | None:
    """Return the time for which a guard was called, from the argument of its task."""
    return dt.datetime.fromisoformat(text) if text else None
