"""The calls of a batch's end and of its first failure, and the task that looks after it."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress

from adjourn.batches.records import BatchRecord
from adjourn.batches.summary import BatchSummary
from adjourn.errors import TaskExistsError
from adjourn.names import digest_of
from adjourn.ports import Adapters, NewTask, Target
from adjourn.serialization.codec import Codec
from adjourn.serialization.envelope import Envelope
from adjourn.serialization.stored_seals import opened, sealed
from adjourn.serialization.verbatim import VERBATIM
from adjourn.state.large_payloads import LargePayloads

GUARD = "adjourn.batch"  # what its task is called in logs; it is no declared task


def stored(adapters: Adapters, batch: str, call: Envelope, codec: Codec) -> bytes:
    """Return what is stored of a call that is still without its summary.

    With a key it is sealed for its batch: who can write to Datastore cannot forge one.

    Raises:
        EncodeError: The call cannot be encoded.
    """
    return sealed(adapters.sealer, call.encode(codec), f"batch/{batch}")


def enqueue(adapters: Adapters, record: BatchRecord, body: bytes, what: BatchSummary) -> None:
    """Enqueue a stored call with a summary; again is harmless, by its name.

    Raises:
        DecodeError: It was forged, or its key is not known here.
        EnqueueError: Cloud Tasks did not accept the task.
        StoreError: Datastore could not be reached.
    """
    place, end = f"batch/{record.id}", f"the end of the batch {record.id}"
    stored_call = Envelope.decode(opened(adapters.sealer, body, place, end), VERBATIM)
    event = "failed" if body is record.on_failed else "done"
    now = adapters.clock.now()
    call = stored_call._replace(
        id=f"{digest_of(record.id, event, str(record.round))}-batch",
        args=(*stored_call.args, Codec().encode(dict(what), "summary")),
        enqueued_at=now,
        eta=None,
        once=True,
    )
    payloads = LargePayloads(store=adapters.store, clock=adapters.clock, sealer=adapters.sealer)
    _create(adapters, call, payloads.body_for(call, VERBATIM, None))


def call_guard(
    adapters: Adapters, record: BatchRecord, why: str, at: dt.datetime, args: tuple[str, ...] = ()
) -> None:
    """Have a batch looked after, in case this process dies; again is harmless, by its name.

    Args:
        adapters: The services.
        record: The batch.
        why: Tells this guard from others of the batch.
        at: When it comes.
        args: What else it is to look at.

    Raises:
        EnqueueError: Cloud Tasks did not accept the task.
    """
    name = f"{digest_of(record.id, 'guard', why)}-batch"
    envelope = Envelope(
        id=name,
        task=GUARD,
        args=args,
        enqueued_at=adapters.clock.now(),
        queue=record.queue,
        eta=at,
        batch=record.id,
    )
    _create(adapters, envelope, envelope.encode(Codec()))


def _create(adapters: Adapters, call: Envelope, body: bytes) -> None:
    task = NewTask(
        target=Target.DEFERRED,
        label=call.task,
        queue=call.queue,
        body=body,
        name=call.id,
        eta=call.eta,
        timeout=call.timeout,
        min_backoff=call.min_backoff,
        max_backoff=call.max_backoff,
    )
    with suppress(TaskExistsError):
        adapters.queue.enqueue(task)
