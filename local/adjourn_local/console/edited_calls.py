"""Calls with arguments that somebody has edited, checked before anything is changed."""

from typing import Any, NamedTuple

from adjourn.application.wiring import Wiring
from adjourn.errors import DecodeError, EncodeError
from adjourn.execution.edited_letters import check_inside, edit, editable_call
from adjourn.execution.stored_letters import StoredDeadLetter
from adjourn.names import CALLABLE
from adjourn.serialization.codec import Codec
from adjourn.serialization.envelope import Envelope
from adjourn.tasks.arguments import check_arguments
from adjourn.tasks.task import Task
from adjourn_local.clients import call_arguments
from adjourn_local.console.deployment import Deployment
from adjourn_local.errors import UsageError

_BY_FORM = "A task that users start is started with its form."
_UNKNOWN = "The console does not know the application; start it with --app package.module:app."


class Editing(NamedTuple):
    """The arguments of a call as text to be edited, or why they cannot be: one of both is ""."""

    text: str
    reason: str


class EditedCall(NamedTuple):
    """A task and arguments that it accepts.

    Attributes:
        task: The task.
        args: The positional arguments.
        kwargs: The keyword arguments.
        text: The call as text.
    """

    task: Task[..., Any]
    args: tuple[object, ...]
    kwargs: dict[str, object]
    text: str


def of_letter(deployment: Deployment, letter: StoredDeadLetter) -> Editing:
    """Return the arguments of a dead letter's call."""
    try:
        codec = _wiring(deployment).enqueuer.codec
        return _editing(editable_call(deployment.dead_letters, letter, codec), codec)
    except (DecodeError, UsageError) as error:
        return Editing("", f"{error}")


def of_body(deployment: Deployment, body: bytes) -> Editing:
    """Return the arguments of the call in the body of a task."""
    try:
        codec = _wiring(deployment).enqueuer.codec
        call = Envelope.decode(body, codec)
        check_inside(call)
        return _editing(call, codec)
    except (DecodeError, UsageError) as error:
        return Editing("", f"{error}")


def checked(deployment: Deployment, task: str, text: str) -> EditedCall:
    """Return the call of a task with the arguments in a text.

    Raises:
        UsageError: The text has no arguments, or the task does not accept them.
        UnknownNameError: There is no task of this name.
    """
    wiring = _wiring(deployment)
    called = wiring.tasks.get(task)
    args, kwargs = call_arguments.read(text, wiring.enqueuer.codec)
    if task.startswith(CALLABLE):
        raise UsageError(_BY_FORM)
    try:
        check_arguments(called.name, called.function, args, kwargs)
    except EncodeError as error:
        raise UsageError(f"{error}") from None
    shown = call_arguments.written(args, kwargs, wiring.enqueuer.codec)
    return EditedCall(called, args, kwargs, f"{task}({' '.join(shown.splitlines())})")


def replay(deployment: Deployment, letter: StoredDeadLetter, call: EditedCall) -> str:
    """Give a letter's call other arguments, enqueue it and return the new task's full name.

    Raises:
        DecodeError: The call cannot be edited.
        EncodeError: The arguments are too large.
        EnqueueError: Cloud Tasks did not accept the task; the letter has the new arguments.
        StoreError: Datastore could not be reached.
    """
    codec, letters = _wiring(deployment).enqueuer.codec, deployment.dead_letters
    args = [codec.encode(each) for each in call.args]
    kwargs = {name: codec.encode(value) for name, value in call.kwargs.items()}
    return letters.replay(edit(letters, letter.task_id, args, kwargs))


def enqueue(deployment: Deployment, call: EditedCall) -> str:
    """Enqueue a call with the options of its task, and return the full name of the new task.

    Raises:
        EncodeError: The arguments are too large.
        EnqueueError: Cloud Tasks did not accept the task.
    """
    return _wiring(deployment).enqueuer.enqueue(call.task, call.args, call.kwargs).name


def _wiring(deployment: Deployment) -> Wiring:
    wiring = deployment.wiring
    if wiring is None:
        raise UsageError(_UNKNOWN)
    return wiring


def _editing(call: Envelope, codec: Codec) -> Editing:
    if call.task.startswith(CALLABLE):
        return Editing("", _BY_FORM)
    text = call_arguments.written(call.args, call.kwargs, codec)
    if len(text) > call_arguments.LONGEST:
        return Editing("", "The arguments are too long to be edited here.")
    return Editing(text, "")
