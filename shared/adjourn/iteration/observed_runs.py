"""What spans tell of runs and their steps, in processes that use OpenTelemetry's SDK."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from adjourn.errors import DecodeError
from adjourn.iteration.run_handle import RunHandle
from adjourn.iteration.runs import Run, Step
from adjourn.iteration.shards import Shard
from adjourn.serialization.codec import Codec
from adjourn.serialization.context import TRACEPARENT, text
from adjourn.telemetry import conventions as names
from adjourn.telemetry.observation import present
from adjourn.telemetry.sending import Sending


def observed_start(iteration: str, queue: str, start: Callable[[], RunHandle]) -> RunHandle:
    """Return the handle of a run that is started while its span is the current one."""
    with Sending("start", iteration, queue) as sending:
        handle = start()
        sending.sent({names.RUN: handle.id}, is_new=handle.is_new)
    return handle


def described(run: Run, step: Step, codec: Codec) -> None:
    """Tell the observation of a delivery which step it brings.

    A run has any number of steps, so each has a trace of its own, linked to the start of the run.
    """
    observation = present()
    if observation is None:
        return
    created_in = None
    with suppress(DecodeError):  # whoever needs the context meets the error
        created_in = text(codec.loads(run.context), TRACEPARENT)
    attributes = {names.RUN: run.id, names.STEP: step.number}
    if step.shard is not None:
        attributes[names.SHARD] = step.shard
    observation.describe(
        run.iteration,
        operation="step",
        created_in=created_in,
        is_child=False,
        attributes=attributes,
    )


def note_entities(before: Shard, after: Shard) -> None:
    """Tell the observation of a delivery how many entities its step has handled."""
    observation = present()
    if observation is not None:
        observation.handled(after.done - before.done)
