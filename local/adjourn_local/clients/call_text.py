"""A stored or queued call or step as text, as far as it can be decoded."""

import json
from collections.abc import Sequence
from contextlib import suppress

from adjourn.errors import DecodeError
from adjourn.gcp.datastore_values import DATASTORE_VALUES
from adjourn.iteration.runs import Step
from adjourn.serialization.budget import OF_TASK
from adjourn.serialization.codec import Codec
from adjourn.serialization.envelope import Envelope
from adjourn.state.large_payloads import KIND as PAYLOAD
from adjourn.tasks.objects import OBJECT_PATH

_LONGEST_SHOWN = 1 << 20


def call_lines(body: bytes) -> Sequence[str]:
    """Return a call in Python's syntax, or the body if only the application can decode it.

    A step of an iteration is described by its run.
    """
    with suppress(DecodeError):
        step = Step.decode(body)
        shard = "" if step.shard is None else f" of shard {step.shard}"
        return [f"step {step.number}{shard} of the run {step.run_id}"]
    try:
        call = Envelope.decode(body, Codec(extensions=(*DATASTORE_VALUES, OBJECT_PATH)))
    except DecodeError as error:
        tree = body_tree(body)
        text = tree if isinstance(tree, str) else json.dumps(tree, indent=2, ensure_ascii=False)
        return [f"{error}", text]
    arguments = [*map(repr, call.args), *(f"{k}={v!r}" for k, v in call.kwargs.items())]
    if call.stowed:
        arguments = [f"<{call.stowed.size:,} bytes in {PAYLOAD}>"]
    return [f"{call.task}({', '.join(arguments)})", f"called at {call.enqueued_at.isoformat()}"]


def body_tree(body: bytes) -> object:
    """Return the JSON value in a body, or its text if it is no JSON that a task may hold."""
    try:
        plain = OF_TASK.inflated(body)
    except DecodeError:
        return body[:_LONGEST_SHOWN].decode(errors="backslashreplace")
    try:
        return json.loads(plain)
    except (ValueError, RecursionError):
        return plain[:_LONGEST_SHOWN].decode(errors="backslashreplace")
