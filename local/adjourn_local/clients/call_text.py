"""A stored or queued call as text: in Python's syntax, as far as it can be decoded."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress

from adjourn.errors import DecodeError
from adjourn.gcp.datastore_values import DATASTORE_VALUES
from adjourn.iteration.runs import Step
from adjourn.ports import Sealer
from adjourn.ports.sealer import is_sealed, key_of
from adjourn.serialization.budget import OF_TASK
from adjourn.serialization.codec import Codec
from adjourn.serialization.envelope import Envelope
from adjourn.state.large_payloads import KIND as PAYLOAD
from adjourn.tasks.objects import OBJECT_PATH

_LONGEST_SHOWN = 1 << 20


def call_lines(
    body: bytes, sealer: Sealer | None = None, queue: str = "", name: str = ""
) -> Sequence[str]:
    """Return a call in Python's syntax, or the body if only the application can decode it.

    The step of an iteration is told in words.

    Args:
        body: The body of its task.
        sealer: Opens the body if it is sealed; None without a key.
        queue: Short name of the queue of the task.
        name: Short name of the task.
    """
    try:
        body = _opened(body, sealer, queue, name)
    except DecodeError as error:
        return [f"{error}"]
    with suppress(DecodeError):
        step = Step.decode(body)
        place = "the run" if step.shard is None else f"shard {step.shard} of the run"
        return [f"step {step.number} of {place} {step.run_id}"]
    try:
        call = Envelope.decode(body, Codec(extensions=(*DATASTORE_VALUES, OBJECT_PATH)))
    except DecodeError as error:
        tree = body_tree(body, sealer, queue, name)
        text = tree if isinstance(tree, str) else json.dumps(tree, indent=2, ensure_ascii=False)
        return [f"{error}", text]
    text = call_text(call.task, call.args, call.kwargs)
    if call.stowed:
        text = f"{call.task}(<{call.stowed.size:,} bytes in {PAYLOAD}>)"
    return [text, f"called at {call.enqueued_at.isoformat()}"]


def call_text(task: str, args: Sequence[object], kwargs: Mapping[str, object]) -> str:
    """Return a call in Python's syntax."""
    arguments = [*map(repr, args), *(f"{name}={value!r}" for name, value in kwargs.items())]
    return f"{task}({', '.join(arguments)})"


def body_tree(body: bytes, sealer: Sealer | None, queue: str, name: str) -> object:
    """Return the JSON value in a body, or its text if it is no JSON that a task may hold.

    The arguments are those of `call_lines`.
    """
    try:
        body = _opened(body, sealer, queue, name)
    except DecodeError as error:
        return f"{error}"
    try:
        plain = OF_TASK.inflated(body)
    except DecodeError:
        return body[:_LONGEST_SHOWN].decode(errors="backslashreplace")
    try:
        return json.loads(plain)
    except (ValueError, RecursionError):
        return plain[:_LONGEST_SHOWN].decode(errors="backslashreplace")


def _opened(body: bytes, sealer: Sealer | None, queue: str, name: str) -> bytes:
    if not is_sealed(body):
        return body
    if sealer is None:
        raise DecodeError(f"Sealed with the key {key_of(body)}; set ADJOURN_ENVELOPE_KEY to see it")
    return sealer.open(body, queue, name)
