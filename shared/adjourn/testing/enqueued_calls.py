"""The calls that were enqueued in a sandbox, and the search for an expected one."""

from __future__ import annotations

import datetime as dt
import difflib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adjourn.serialization.envelope import Envelope
from adjourn.tasks.arguments import signature as signature_of
from adjourn.tasks.methods import BoundTask
from adjourn.tasks.objects import ObjectPath
from adjourn.tasks.options import Options
from adjourn.tasks.task import Task

# The random number of a sandbox, such as that of `spread`.
CHANCE = 0.5

_SHOWN = 10
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class EnqueuedCall:
    """A call that was enqueued, with its arguments as the task receives them.

    Attributes:
        envelope: The call.
        name: Short name of its task.
    """

    envelope: Envelope
    name: str

    @property
    def task(self) -> str:
        """The name under which the function was declared."""
        return self.envelope.task

    @property
    def args(self) -> tuple[object, ...]:
        """Its positional arguments; for a method, the first is a reference to its object."""
        return self.envelope.args

    @property
    def kwargs(self) -> Mapping[str, object]:
        """Its keyword arguments."""
        return self.envelope.kwargs

    @property
    def queue(self) -> str:
        """Short name of its queue, also if that is the default queue."""
        return self.envelope.queue

    @property
    def eta(self) -> dt.datetime | None:
        """Its earliest start, an aware datetime; None for at once."""
        return self.envelope.eta

    def __str__(self) -> str:
        eta = {"eta": self.eta} if self.eta else {}
        return _formatted(self.task, self.args, self.kwargs, {"queue": self.queue, **eta})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExpectedCall:
    """A call that a test expects.

    Attributes:
        task: The task. If it has other options than the declared one, a call must have them, too.
        declared: The task as declared.
        args: The positional arguments of the call; `...` alone matches all arguments.
        kwargs: The keyword arguments.
        default_queue: The queue of calls that name none.
    """

    task: Task[..., Any]
    declared: Task[..., Any]
    args: tuple[object, ...]
    kwargs: Mapping[str, object]
    default_queue: str

    def among(self, calls: Sequence[EnqueuedCall]) -> list[EnqueuedCall]:
        """Return the calls that match, in their order.

        Raises:
            TypeError: The function does not take these arguments.
        """
        of_task = [call for call in calls if call.task == self.task.name]
        if self._is_open:
            on = self._args[:-1]
            of_task = [call for call in of_task if call.args[: len(on)] == on]
        else:
            self._check()
            of_task = [call for call in of_task if not self._wrong_arguments(call)]
        return [call for call in of_task if not self._differences(call)]

    def missing(self, calls: Sequence[EnqueuedCall]) -> str:
        """Return a message that lists the calls that were enqueued, the most similar first."""
        if not calls:
            return f"{self} was not enqueued, nor was anything else."
        found = [self._described(call) for call in sorted(calls, key=self._distance)]
        more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
        head = f"{self} was not enqueued. These were, nearest first:"
        return "\n  ".join([head, *found[:_SHOWN], *more])

    def __str__(self) -> str:
        return _formatted(self.task.name, self._args, self.kwargs, self._changes)

    @property
    def _is_open(self) -> bool:
        """Whether all arguments match."""
        return len(self.args) == 1 and self.args[0] is ... and not self.kwargs

    @property
    def _args(self) -> tuple[object, ...]:
        return (
            (self.task.receiver_argument(), *self.args)
            if isinstance(self.task, BoundTask)
            else self.args
        )

    @property
    def _changes(self) -> Mapping[str, object]:
        """The options that differ from those of the declared task."""
        given, declared = self.task.defaults, self.declared.defaults
        names = Options._fields if given is not declared else ()
        return {n: getattr(given, n) for n in names if getattr(given, n) != getattr(declared, n)}

    def _differences(self, call: EnqueuedCall) -> Mapping[str, object]:
        """Return the options of the task that differ from those of a call."""
        options, made = self.task.defaults, call.envelope
        if options is self.declared.defaults:
            return {}
        eta = options.start(made.enqueued_at, CHANCE)
        expected = {
            "call_name": options.call_name or call.name,
            "queue": options.queue or self.default_queue,
            "eta": eta,
            "expires_at": options.expires and (eta or made.enqueued_at) + options.expires,
            **{name: getattr(options, name) for name in _CARRIED},
        }
        found = {
            "call_name": call.name,
            **{name: getattr(made, name) for name in list(expected)[1:]},
        }
        return {name: value for name, value in expected.items() if value != found[name]}

    def _check(self) -> None:
        try:
            signature_of(self.task.function).bind(*self._args, **self.kwargs)
        except TypeError as error:
            raise TypeError(f"{self.task.name}: {error}") from None

    def _wrong_arguments(self, call: EnqueuedCall) -> int:
        """Return how many arguments of a call of this task differ from the expected ones."""
        signature = signature_of(self.task.function)
        expected = _arguments(signature, self._args, self.kwargs)
        try:
            found = _arguments(signature, call.args, call.kwargs)
        except TypeError:
            return len(expected) + 1  # the function does not take them, and will fail when it runs
        return sum(bool(value != found[name]) for name, value in expected.items())

    def _distance(self, call: EnqueuedCall) -> tuple[bool, int, float]:
        mine = _formatted(self.task.name, self._args, self.kwargs, {})[:_LONGEST]
        other = _formatted(call.task, call.args, call.kwargs, {})[:_LONGEST]
        ratio = difflib.SequenceMatcher(None, mine, other).ratio()
        is_other = call.task != self.task.name
        return is_other, 0 if is_other or self._is_open else self._wrong_arguments(call), -ratio

    def _described(self, call: EnqueuedCall) -> str:
        wrong = self._differences(call) if call.task == self.task.name else {}
        return f"{call} instead of {_listed(wrong)}" if wrong else str(call)


_CARRIED = (
    "timeout",
    "max_retries",
    "min_backoff",
    "max_backoff",
    "once",
    "no_retry",
    "keep_result",
)


def _arguments(
    signature: inspect.Signature, args: tuple[object, ...], kwargs: Mapping[str, object]
) -> Mapping[str, object]:
    """Return arguments by name, including defaults."""
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.arguments


def _formatted(
    name: str,
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
    options: Mapping[str, object],
) -> str:
    shown = ["..." if arg is ... else _shown(arg) for arg in args]
    shown += [f"{key}={_shown(value)}" for key, value in kwargs.items()]
    text = f"{name}({', '.join(shown)})"
    return f"{text} with {_listed(options)}" if options else text


def _listed(options: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={_shown(value)}" for name, value in options.items())


def _shown(value: object) -> str:
    if isinstance(value, ObjectPath):
        return f"<{value.path}>"
    is_time = isinstance(value, dt.datetime | dt.timedelta)
    text = str(value) if is_time else repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
