"""What a span tells of a delivered call, in processes that use OpenTelemetry's SDK."""

from __future__ import annotations

from adjourn.execution.current_task import Call
from adjourn.telemetry import conventions as names
from adjourn.telemetry.observation import present


def described(call: Call, created_in: str | None) -> str | None:
    """Tell the observation of a delivery which call it brings; return where that is in a trace.

    Args:
        call: The delivered call.
        created_in: `traceparent` of where it was enqueued.
    """
    observation, envelope = present(), call.envelope
    if observation is None:
        return created_in
    due = envelope.starts_at or envelope.eta or envelope.enqueued_at
    return observation.describe(
        envelope.task,
        created_in=created_in,
        due=None if call.delivery.attempt.retry_count else due,
        attributes={names.CALL_ID: envelope.id, names.ATTEMPT: call.attempt.number},
    )


def note_resumption() -> None:
    """Tell the observation of a delivery that its call waits, or goes on as a new task."""
    observation = present()
    if observation is not None:
        observation.is_resumed = True
