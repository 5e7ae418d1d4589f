"""The options of tasks: how a call is queued and run."""

import datetime as dt
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict, Unpack

from adjourn.errors import DeclarationError
from adjourn.names import TASK_NAME
from adjourn.settings import is_queue
from adjourn.tasks import collecting
from adjourn.tasks.option_hints import hint
from adjourn.tasks.plain_values import is_aware, plain_option

if TYPE_CHECKING:
    from adjourn.flow.limits import Flow

Duration = dt.timedelta | float

# https://cloud.google.com/tasks/docs/quotas and the reference of Task.dispatch_deadline
_TIMEOUTS = (dt.timedelta(seconds=15), dt.timedelta(minutes=30))
_NONE = dt.timedelta()
_LONGEST = dt.timedelta(days=36_525)
_NEVER = dt.datetime.max.replace(tzinfo=dt.UTC)


class DeclaredOptions(TypedDict, total=False):
    """Options of the declaration of a task; see `Options`."""

    queue: str | None
    delay: Duration | None
    expires: Duration | None
    timeout: Duration | None
    max_retries: int | None
    min_backoff: Duration | None
    max_backoff: Duration | None
    spread: Duration | None
    once: bool
    no_retry: bool
    unique_by: Literal["arguments", "task"] | None
    unique_for: Duration | None
    unique_until: Literal["begun", "done"] | None
    debounce: Duration | None
    max_wait: Duration | None
    throttle: Duration | None
    by: Literal["arguments", "task"] | Callable[..., object] | None
    flow: "Flow | Sequence[Flow] | None"
    keep_result: Duration | None


class CallOptions(DeclaredOptions, total=False):
    """Options of a call; see `Options`."""

    call_name: str | None
    eta: dt.datetime | None
    name: str | None  # the former name of call_name
    transaction: object
    flow_key: object


class Options(NamedTuple):
    """The options of a task or call; durations may be given in seconds.

    Attributes:
        queue: Short name of the queue; the application's default queue if None.
        delay: Earliest start, counted from the call.
        eta: Earliest start, an aware datetime; it may be years ahead. It is kept in UTC.
        call_name: Name of the call and its task in Cloud Tasks; a second call under the same name
            enqueues nothing.
        expires: A call that has not run this long after its earliest start is dropped.
        timeout: How long an attempt may take, 15 seconds to 30 minutes and no longer than the
            function itself (`ADJOURN_FUNCTION_TIMEOUT`); Cloud Tasks' 10 minutes if None.
        max_retries: Failed executions that are retried; the queue's own limit if None.
        min_backoff: Wait before the first retry; the queue's own if None.
        max_backoff: Longest wait between retries; the queue's own if None.
        spread: The start is delayed by a random time up to this.
        once: A call takes effect once, even if Cloud Tasks delivers it again, because it is claimed
            in Datastore before it runs.
        unique_by: In each period, only one call is enqueued of those with the same "arguments", or
            of all calls of the "task". The others return its handle. Not of one that was cancelled
            or is gone without having run.
        unique_for: The length of such a period, an hour if None; if longer, Datastore is used.
        unique_until: Within the period, another may be made when the last one has "begun" or is
            "done"; None for not at all.
        debounce: Of calls that follow each other within this time, one runs, with the last
            arguments, when no further one has come for so long.
        max_wait: The longest time between the first of them and that run; None for no limit.
        throttle: A call runs at once, unless another one ran within this time; then the last of
            them runs at its end.
        by: Which calls `debounce` and `throttle` take together: those with the same "arguments",
            all calls of the "task", or those for which a function of the arguments returns the
            same value. The same "arguments" if None.
        transaction: The Datastore transaction that must be committed for the call to run; not
            needed if `App` was given the application's client.
        no_retry: A call is never begun a second time, neither after a failure nor after a crash,
            because it is claimed in Datastore before it runs.
        flow: Limits for calls with the same key, over all instances; one `adjourn.Flow` or several.
        flow_key: The key of this call instead of the one that its arguments have; for several
            limits, a tuple with one for each.
        keep_result: How long what the call returns is kept after its end, for
            `TaskHandle.result`; not at all if None.
    """

    queue: str | None = None
    delay: dt.timedelta | None = None
    eta: dt.datetime | None = None
    call_name: str | None = None
    expires: dt.timedelta | None = None
    timeout: dt.timedelta | None = None
    max_retries: int | None = None
    min_backoff: dt.timedelta | None = None
    max_backoff: dt.timedelta | None = None
    spread: dt.timedelta | None = None
    once: bool = False
    no_retry: bool = False
    unique_by: Literal["arguments", "task"] | None = None
    unique_for: dt.timedelta | None = None
    unique_until: Literal["begun", "done"] | None = None
    debounce: dt.timedelta | None = None
    max_wait: dt.timedelta | None = None
    throttle: dt.timedelta | None = None
    by: Literal["arguments", "task"] | Callable[..., object] | None = None
    transaction: object = None
    flow: tuple["Flow", ...] | None = None
    flow_key: object = None
    keep_result: dt.timedelta | None = None

    def changed(self, **changes: Unpack[CallOptions]) -> "Options":
        """Return a copy with some options changed.

        Raises:
            DeclarationError: An option is unknown, out of range or contradicts another.
        """
        given: Mapping[str, Any] = changes
        if "name" in given:
            given = _with_call_name(given)
        for name in given:
            if name not in self._fields:
                raise DeclarationError(f"There is no option {name!r}; {hint(name, self._fields)}")
        options = self._replace(**{name: plain_option(name, each) for name, each in given.items()})
        for mistake in options.mistakes():
            raise DeclarationError(mistake)
        return options

    def mistakes(self) -> Iterator[str]:
        """Yield a sentence, with the fix, for each wrong option."""
        yield from self._wrong_times()
        yield from self._wrong_uniqueness()
        yield from collecting.mistakes(self)
        yield from self._wrong_flow()
        if self.queue is not None and not is_queue(self.queue):
            yield f"queue={self.queue!r} must be 1 to 100 letters, digits or hyphens."
        if self.call_name is not None and not is_name(self.call_name):
            wanted = "1 to 500 letters, digits, hyphens or underscores"
            yield f"call_name={self.call_name!r} must be {wanted}."
        if self.max_retries is not None and not _is_count(self.max_retries):
            yield f"max_retries={self.max_retries!r} must be a whole number from 0."
        for name in ("once", "no_retry"):
            if not isinstance(getattr(self, name), bool):
                yield f"{name}={getattr(self, name)!r} must be True or False."
        if self.no_retry and self.max_retries:
            yield "no_retry contradicts max_retries; leave one of them out."

    def _wrong_uniqueness(self) -> Iterator[str]:
        if self.unique_by not in (None, "arguments", "task"):
            yield f'unique_by={self.unique_by!r} must be "arguments" or "task".'
        if self.unique_until not in (None, "begun", "done"):
            yield f'unique_until={self.unique_until!r} must be "begun" or "done".'
        for name in ("unique_for", "unique_until"):
            if getattr(self, name) is not None and self.unique_by is None:
                yield f'{name} needs unique_by="arguments" or unique_by="task".'
        if self.unique_by is not None and self.call_name is not None:
            yield "Give call_name or unique_by, not both: a unique call has a name of its own."

    def _wrong_flow(self) -> Iterator[str]:
        if self.flow_key is not None and not self.flow:
            yield "flow_key needs a flow: declare the task with flow=adjourn.Flow(...)."
        if self.flow and self.unique_until == "done":
            yield 'unique_until="done" does not see calls that wait for a flow; leave one out.'

    def _wrong_times(self) -> Iterator[str]:
        if self.delay is not None and self.eta is not None:
            yield "Give delay or eta, not both; delay=None undoes a declared delay."
        if self.eta is not None and not is_aware(self.eta):
            wanted = "an aware datetime; add a time zone, such as tzinfo=datetime.UTC"
            yield f"eta={self.eta!r:.80} must be {wanted}."
        for name in ("delay", "spread"):
            if (getattr(self, name) or _NONE) < _NONE:
                yield f"{name} must not be negative."
        for name in ("expires", "min_backoff", "max_backoff", "unique_for", "keep_result"):
            value = getattr(self, name)
            if value is not None and not _NONE < value <= _LONGEST:
                yield f"{name} must be more than zero, and at most a hundred years."
        yield from self._wrong_limits()

    def _wrong_limits(self) -> Iterator[str]:
        if self.timeout is not None and not _TIMEOUTS[0] <= self.timeout <= _TIMEOUTS[1]:
            yield f"timeout={self.timeout} must be between 15 seconds and 30 minutes."
        if self.min_backoff and self.max_backoff and self.min_backoff > self.max_backoff:
            yield "min_backoff must not be longer than max_backoff."

    def check_timeout(self, task: str, function_timeout: int) -> None:
        """Check that the deferred function may run for as long as a call of the task.

        Args:
            task: Registered name of the task, for the message.
            function_timeout: The timeout of the deferred function, in seconds.

        Raises:
            DeclarationError: The platform would stop the function before the call times out.
        """
        if self.timeout is None:
            return
        longest = dt.timedelta(seconds=function_timeout)
        if self.timeout > longest:
            raise DeclarationError(
                f"timeout={self.timeout} of {task} is more than the {longest} that the deferred"
                " function has; shorten it, or raise the function's own timeout and then"
                " ADJOURN_FUNCTION_TIMEOUT."
            )

    def start(self, now: dt.datetime, chance: float) -> dt.datetime | None:
        """Return the earliest start, None for at once.

        Args:
            now: The present.
            chance: A random number from 0 to 1, for `spread`.

        Raises:
            DeclarationError: It lies more than a hundred years away.
        """
        try:
            start = self.eta if self.delay is None else now + self.delay
            start = (start or now) + self.spread * chance if self.spread else start
        except OverflowError:
            start = _NEVER
        if start and abs(start - now) > _LONGEST:
            raise DeclarationError("The start lies more than a hundred years away.")
        return start


def is_name(value: object) -> bool:
    """Whether Cloud Tasks accepts it as the short name of a task."""
    return isinstance(value, str) and TASK_NAME.fullmatch(value) is not None


def declared(options: Mapping[str, Any], *own: str) -> Options:
    """Return the options of a declaration.

    Args:
        options: What was given to the decorator beside its own arguments.
        own: Names of the decorator's own arguments, for the message about an unknown one.

    Raises:
        DeclarationError: An option is unknown, wrong, or only for calls; the message says the fix.
    """
    known = {*Options._fields, *own} - _OF_CALLS
    for name in options:
        if name in _OF_CALLS:
            raise DeclarationError(
                f"{name} is an option of a call, not of the declaration: write"
                f" task.options({name}=...).defer(...)."
            )
        if name not in known:
            raise DeclarationError(f"There is no option {name!r}; {hint(name, known)}")
    return Options().changed(**options)


_OF_CALLS = frozenset({"call_name", "eta", "transaction", "flow_key"})


def _with_call_name(options: Mapping[str, Any]) -> Mapping[str, Any]:
    if "call_name" in options:
        raise DeclarationError("Give call_name alone; name is its former name.")
    warnings.warn(
        "The option name is called call_name: write task.options(call_name=...).",
        DeprecationWarning,
        stacklevel=4,
    )
    return {"call_name" if key == "name" else key: value for key, value in options.items()}


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0
