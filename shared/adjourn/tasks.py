"""Declared functions that can run later, and how a call becomes a task on a queue."""

import datetime as dt
import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Generic, ParamSpec, TypedDict, TypeVar, Unpack

from adjourn.clock import Clock
from adjourn.codec import Codec
from adjourn.envelope import Envelope
from adjourn.errors import DeclarationError, TaskExistsError
from adjourn.ports import NewTask, Target, TaskQueue

P = ParamSpec("P")
R = TypeVar("R")

# https://cloud.google.com/tasks/docs/quotas and the reference of Task.name, Task.dispatch_deadline
_NAME = re.compile(r"[A-Za-z0-9_-]{1,500}")
_QUEUE = re.compile(r"[A-Za-z0-9-]{1,100}")
_LONGEST_DELAY = dt.timedelta(days=30)
_TIMEOUTS = (dt.timedelta(seconds=15), dt.timedelta(minutes=30))


class DeclaredOptions(TypedDict, total=False):
    """What can be said of a task where it is declared; see `Options`."""

    queue: str | None
    delay: dt.timedelta | float | None
    timeout: dt.timedelta | float | None
    max_retries: int | None


class CallOptions(DeclaredOptions, total=False):
    """What can be said of a call; see `Options`."""

    eta: dt.datetime | None
    name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a call is queued; immutable, so that it can be shared.

    Attributes:
        queue: Short name of the queue; the application's default queue if None.
        delay: Earliest start, counted from the call.
        eta: Earliest start, aware.
        name: Name of the task; a second call under the same name enqueues nothing.
        timeout: How long an attempt may take, 15 seconds to 30 minutes.
        max_retries: Failed executions that are followed by another; the queue's own limit if None.
    """

    queue: str | None = None
    delay: dt.timedelta | None = None
    eta: dt.datetime | None = None
    name: str | None = None
    timeout: dt.timedelta | None = None
    max_retries: int | None = None

    def changed(self, **changes: Unpack[CallOptions]) -> "Options":
        """Return a copy with some options changed.

        Raises:
            DeclarationError: An option is unknown, out of its range or contradicts another.
        """
        known = {field.name for field in fields(self)}
        for name in changes:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = (
                    f"did you mean {near[0]!r}?"
                    if near
                    else f"there are: {', '.join(sorted(known))}"
                )
                raise DeclarationError(f"There is no option {name!r}; {hint}")
        new: dict[str, Any] = dict(changes)
        for name in ("delay", "timeout"):
            new[name] = _duration(name, new.get(name, getattr(self, name)))
        options = replace(self, **new)
        for mistake in options.mistakes():
            raise DeclarationError(mistake)
        return options

    def mistakes(self) -> list[str]:
        """Return a sentence, with the fix, for everything that is wrong."""
        checks = {
            "Give delay or eta, not both; delay=None takes a declared one back.": (
                self.delay is not None and self.eta is not None
            ),
            "delay must not be negative.": self.delay is not None and self.delay < dt.timedelta(),
            f"delay={self.delay} is more than 30 days, which Cloud Tasks refuses.": (
                self.delay is not None and self.delay > _LONGEST_DELAY
            ),
            "eta must be an aware datetime; add a time zone, such as tzinfo=datetime.UTC.": (
                self.eta is not None and not _is_aware(self.eta)
            ),
            f"queue={self.queue!r} must be 1 to 100 letters, digits or hyphens.": (
                self.queue is not None and not _is_text(_QUEUE, self.queue)
            ),
            f"name={self.name!r} must be 1 to 500 letters, digits, hyphens or underscores.": (
                self.name is not None and not _is_text(_NAME, self.name)
            ),
            f"timeout={self.timeout} must be between 15 seconds and 30 minutes.": (
                self.timeout is not None and not _TIMEOUTS[0] <= self.timeout <= _TIMEOUTS[1]
            ),
            f"max_retries={self.max_retries!r} must be a whole number from 0.": (
                self.max_retries is not None
                and (type(self.max_retries) is not int or self.max_retries < 0)
            ),
        }
        return [mistake for mistake, is_wrong in checks.items() if is_wrong]

    def start(self, now: dt.datetime) -> dt.datetime | None:
        """Return the earliest start, None for at once.

        Raises:
            DeclarationError: It is more than 30 days ahead, which Cloud Tasks refuses.
        """
        start = self.eta if self.delay is None else now + self.delay
        if start is not None and start - now > _LONGEST_DELAY:
            raise DeclarationError(f"{start.isoformat()} is more than 30 days ahead.")
        return start


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskHandle:
    """What a call that was enqueued leaves behind.

    Attributes:
        id: The task's identity, the same over all attempts; None if `is_new` is False, since the
            task that holds the name was enqueued by somebody else.
        name: Full name in Cloud Tasks.
        queue: Short name of the queue.
        eta: Earliest start; None for at once.
        is_new: False if a task of the same name was there already and nothing was enqueued.
    """

    id: str | None
    name: str
    queue: str
    eta: dt.datetime | None
    is_new: bool
    _delete: Callable[[str], bool]

    def cancel(self) -> bool:
        """Delete the task; False if it has finished already. An attempt that runs is not stopped.

        Raises:
            UnavailableError: Cloud Tasks could not be reached.
        """
        return self._delete(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(Generic[P, R]):
    """A function that was declared with `@app.deferred`; calling it enqueues a call."""

    name: str
    function: Callable[P, R]
    defaults: Options
    _enqueue: Callable[["Task[..., Any]", tuple[object, ...], dict[str, object]], TaskHandle]

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> TaskHandle:
        """Enqueue a call of the function with these arguments; see `defer`."""
        return self._enqueue(self, args, kwargs)

    def defer(self, /, *args: P.args, **kwargs: P.kwargs) -> TaskHandle:
        """Enqueue a call of the function with these arguments.

        Raises:
            EncodeError: An argument cannot be carried; the message names it.
            EnqueueError: Cloud Tasks did not accept the task.
        """
        return self._enqueue(self, args, kwargs)

    def call_local(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here and now."""
        return self.function(*args, **kwargs)

    def options(self, **changes: Unpack[CallOptions]) -> "Task[P, R]":
        """Return this task with some options changed, for one call or for many.

        Raises:
            DeclarationError: An option is unknown, out of its range or contradicts another.
        """
        return replace(self, defaults=self.defaults.changed(**changes))


@dataclass(kw_only=True, eq=False, repr=False)
class Enqueuer:
    """Turns calls into tasks on a queue."""

    queue: TaskQueue
    codec: Codec
    clock: Clock
    new_id: Callable[[], str]
    default_queue: str

    def enqueue(
        self, task: Task[..., Any], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> TaskHandle:
        """Put one call on its queue.

        Raises:
            EncodeError: An argument cannot be carried; the message names it.
            EnqueueError: Cloud Tasks did not accept the task.
        """
        options, now = task.defaults, self.clock.now()
        eta = options.start(now)
        envelope = Envelope(
            id=self.new_id(),
            task=task.name,
            args=args,
            kwargs=kwargs,
            enqueued_at=now,
            eta=eta,
            max_retries=options.max_retries,
        )
        new = NewTask(
            target=Target.DEFERRED,
            label=task.name,
            queue=options.queue or self.default_queue,
            body=envelope.encode(self.codec),
            name=options.name,
            eta=eta,
            timeout=options.timeout,
        )
        return self._handle(new, envelope.id)

    def _handle(self, new: NewTask, task_id: str) -> TaskHandle:
        try:
            name, is_new = self.queue.enqueue(new), True
        except TaskExistsError:
            name, is_new = self.queue.full_name(new.queue, new.name or ""), False
        return TaskHandle(
            id=task_id if is_new else None,
            name=name,
            queue=new.queue,
            eta=new.eta,
            is_new=is_new,
            _delete=self.queue.delete,
        )


def _is_text(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_aware(value: object) -> bool:
    return isinstance(value, dt.datetime) and value.utcoffset() is not None


def _duration(name: str, value: dt.timedelta | float | None) -> dt.timedelta | None:
    if value is None or isinstance(value, dt.timedelta):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DeclarationError(f"{name}={value!r} must be a timedelta or a number of seconds.")
    try:
        return dt.timedelta(seconds=value)
    except (OverflowError, ValueError):
        raise DeclarationError(f"{name}={value!r} is not a number of seconds.") from None
