"""Open sealed deliveries; those that nobody with a key has sealed go no further."""

from __future__ import annotations

import logging
from collections.abc import Callable

from adjourn.errors import ConflictError, DecodeError, StoreError, UnknownKeyError
from adjourn.execution.dead_letters import DeadLetterRecorder
from adjourn.execution.delivery import Delivery, Outcome
from adjourn.log import event
from adjourn.names import CallIdentity, digest
from adjourn.ports import Adapters, Sealer
from adjourn.ports.sealer import is_sealed, key_of
from adjourn.settings import Settings
from adjourn.state.call_records import GRACE, CallRecords

Receiver = Callable[[Delivery], Outcome]


def opening(
    receive: Receiver, adapters: Adapters, settings: Settings, dead_letters: DeadLetterRecorder
) -> Receiver:
    """Return a receiver that opens each delivery first, if the adapters have a key.

    What does not hold becomes a dead letter. What is sealed with an unknown key is retried for an
    hour.
    """
    sealer = adapters.sealer
    if sealer is None:
        return receive

    def receive_opened(delivery: Delivery) -> Outcome:
        try:
            opened = _opened(delivery, sealer)
        except UnknownKeyError:
            return await_key(delivery, adapters, settings, dead_letters)
        except DecodeError as error:
            dead_letters.record(delivery, error)
            return Outcome.DEAD
        return receive(opened)

    return receive_opened


def await_key(
    delivery: Delivery, adapters: Adapters, settings: Settings, dead_letters: DeadLetterRecorder
) -> Outcome:
    """Have a delivery retried for an hour whose key may come with the next revision.

    Raises:
        StoreError: The dead letter was not written; nothing may be acknowledged.
    """
    error = UnknownKeyError(
        f"The body is sealed with the key {key_of(delivery.body)}, which is not in"
        " ADJOURN_ENVELOPE_KEY here"
    )
    now, attempt, content = adapters.clock.now(), delivery.attempt, digest(delivery.body)
    records = CallRecords(store=adapters.store, clock=adapters.clock)
    call = CallIdentity(f"sealed-{content}", content)
    try:
        since = records.unknown(call, attempt.execution_count + 1).unknown_since or now
    except (StoreError, ConflictError) as trouble:
        event("service.unavailable", logging.WARNING, str(trouble), error=trouble)
        since = now
    is_queues_last = 0 < settings.attempts_of(delivery.queue) <= attempt.number
    if is_queues_last or now - since > GRACE:
        dead_letters.record(delivery, error)
        return Outcome.DEAD
    event("seal.unknown_key", logging.WARNING, f"{error}; it is retried for an hour")
    return Outcome.UNKNOWN


def _opened(delivery: Delivery, sealer: Sealer) -> Delivery:
    body = delivery.body
    if is_sealed(body):
        opened = sealer.open(body, delivery.queue, delivery.task_name)
        return delivery._replace(body=opened, sealed=body)
    if sealer.is_required:
        raise DecodeError(
            "The body is not sealed, and ADJOURN_ENVELOPE_REQUIRED refuses it: it was enqueued"
            " without a key; if you trust it, replay it with --vouch"
        )
    event("seal.missing", logging.INFO, "The body is not sealed; that is accepted so far")
    return delivery
