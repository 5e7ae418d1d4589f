"""Declared functions that can run later, and how a call becomes a task on a queue."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Concatenate, Generic, NamedTuple, ParamSpec, TypeVar, Unpack, overload

from adjourn.clock import Clock
from adjourn.concurrency import batches, in_threads
from adjourn.errors import DeclarationError, EncodeError, EnqueueError, TaskExistsError
from adjourn.names import numbered
from adjourn.ports import NewTask, Target, TaskQueue
from adjourn.serialization.codec import Codec
from adjourn.serialization.context import Carrier
from adjourn.serialization.envelope import Envelope
from adjourn.state.large_payloads import Payloads
from adjourn.state.transaction_markers import FIRST_WAIT, Guard
from adjourn.tasks.arguments import check_arguments
from adjourn.tasks.handle import Enqueued, TaskHandle
from adjourn.tasks.options import CallOptions, Options
from adjourn.tasks.unique import Uniques, unique_name

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")

# Cloud Tasks takes 30 days (https://cloud.google.com/tasks/docs/quotas); the rest by hops.
_LONGEST_HOP = dt.timedelta(days=29)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task(Generic[P, R]):
    """A function that was declared with `@app.deferred`; calling it enqueues a call."""

    name: str
    function: Callable[P, R]
    defaults: Options
    on_dead: Callable[[Any], object] | None = None  # gets the `DeadLetter`
    _enqueuer: Callable[[], Enqueuer]

    # Type checkers do not tell the sorts of methods apart, so only instances drop the first one.
    @overload
    def __get__(self, instance: None, owner: type, /) -> Task[..., R]: ...
    @overload
    def __get__(
        self: Task[Concatenate[Any, Q], R], instance: object, owner: type | None = None, /
    ) -> Task[Q, R]: ...
    def __get__(self, instance: Any, owner: type | None = None, /) -> Task[..., Any]:
        return self  # `adjourn.tasks.methods` has the tasks of methods

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> TaskHandle:
        """Enqueue a call of the function with these arguments; see `defer`."""
        return self._enqueuer().enqueue(self, args, kwargs)

    def defer(self, /, *args: P.args, **kwargs: P.kwargs) -> TaskHandle:
        """Enqueue a call of the function with these arguments.

        Raises:
            EncodeError: An argument cannot be carried, or is not one that the function takes; the
                message names it.
            EnqueueError: Cloud Tasks did not accept the task.
        """
        return self._enqueuer().enqueue(self, args, kwargs)

    def map(self, first: Iterable[Any], /, *others: Iterable[Any]) -> Iterator[Enqueued]:
        """Enqueue a call for each item, many at a time, as the results are taken.

        Each iterable gives one positional argument, as with Python's own `map`, and is read only a
        little ahead of the results, so it may be endless. What is not taken is not enqueued.

        With the option `name`, which here names the batch, each task is named after the batch and
        its place in it: the same batch again enqueues only what the first time did not.

        Returns:
            For each item, in order: a handle, or the error that kept this one from being enqueued.
            An exception of an iterable comes last, after the results of all before it.
        """
        return self._enqueuer().map(self, zip(first, *others, strict=False))

    def call_local(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here and now."""
        return self.function(*args, **kwargs)

    def options(self, **changes: Unpack[CallOptions]) -> Task[P, R]:
        """Return this task with some options changed, for one call or for many.

        Raises:
            DeclarationError: An option is unknown, out of its range or contradicts another.
        """
        return replace(self, defaults=self.defaults.changed(**changes))


class _Ready(NamedTuple):
    """A call that can be put on its queue."""

    id: str
    eta: dt.datetime | None
    new: NewTask


@dataclass(kw_only=True, eq=False, repr=False)
class Enqueuer:
    """Turns calls into tasks on a queue."""

    queue: TaskQueue
    codec: Codec
    clock: Clock
    new_id: Callable[[], str]
    chance: Callable[[], float]
    default_queue: str
    guard: Guard
    payloads: Payloads
    carrier: Carrier
    uniques: Uniques
    longest: dt.timedelta

    def enqueue(
        self,
        task: Task[..., Any],
        args: tuple[object, ...],
        kwargs: dict[str, object],
        *,
        call: str = "",
    ) -> TaskHandle:
        """Put one call on its queue.

        Args:
            task: What is called.
            args: Its positional arguments.
            kwargs: Its keyword arguments.
            call: The id of the call; a new one if empty.

        Raises:
            EncodeError: An argument cannot be carried, or is not one that the function takes; the
                message names it.
            EnqueueError: Cloud Tasks did not accept the task.
            DeclarationError: The call is unique and made inside a transaction.
        """
        options = task.defaults
        ready = self._call(task, args, kwargs, options.name, call)
        if options.unique_by is None:
            return self._put(ready)
        name = ready.new.name or ""
        if not self.uniques.enter(name, options):
            return self._handle(ready, None)
        handle = self._put(ready)
        self.uniques.mark(name, options)
        return handle

    def map(self, task: Task[..., Any], calls: Iterable[tuple[object, ...]]) -> Iterator[Enqueued]:
        """Put one call on its queue for each tuple of arguments; see `Task.map`."""
        if task.defaults.unique_by is not None:
            raise DeclarationError("Unique calls are made one by one, not with map.")

        def ready() -> Iterator[_Ready | EncodeError | EnqueueError]:
            batch = task.defaults.name
            for place, args in enumerate(calls):
                try:
                    yield self._call(task, args, {}, batch and f"{numbered(batch, place)}-{place}")
                except (EncodeError, EnqueueError) as error:
                    yield error

        def weight(one: _Ready | EncodeError | EnqueueError) -> int:
            return len(one.new.body) if isinstance(one, _Ready) else 0

        return in_threads(self._put_many, batches(ready(), weight))

    def _call(
        self,
        task: Task[..., Any],
        args: tuple[object, ...],
        kwargs: dict[str, object],
        name: str | None,
        call: str = "",
    ) -> _Ready:
        options, now = task.defaults, self.clock.now()
        options.check_timeout(task.name, self.longest)
        given = check_arguments(task.name, task.function, args, kwargs)
        eta, call = options.start(now, self.chance()), call or self.new_id()
        if options.unique_by is not None:
            if self.guard.transaction(options.transaction) is not None:
                # Rolled back, it would keep the calls out that come after it.
                raise DeclarationError(f"{task.name} is unique; call it after the transaction.")
            call_of = (given.args, given.kwargs)  # whether passed by position or by name
            name = unique_name(task.name, call_of, options, now, self.codec)
        marker = self.guard.mark(call, options.transaction, eta)
        envelope = Envelope(
            id=call,
            task=task.name,
            args=args,
            kwargs=kwargs,
            enqueued_at=now,
            queue=options.queue or self.default_queue,
            eta=eta,
            expires_at=(eta or now) + options.expires if options.expires else None,
            timeout=options.timeout,
            max_retries=options.max_retries,
            min_backoff=options.min_backoff,
            max_backoff=options.max_backoff,
            once=options.once,
            no_retry=options.no_retry,
            marker=marker,
            context=self.carrier.pack(),
        )
        # A transaction takes a moment to be committed: to look sooner would be to look twice.
        start = max(eta or now, now + FIRST_WAIT) if marker else eta
        return self._ready(envelope, name=name, eta=start)

    def resume(self, envelope: Envelope, at: dt.datetime) -> TaskHandle:
        """Put a call that was delivered on its queue again, under a name of this resumption.

        Raises:
            EnqueueError: Cloud Tasks did not accept the task.
            StoreError: The time of its payload could not be prolonged.
        """
        name = f"{numbered(envelope.id, envelope.resumed)}-resumed"
        kept = self.payloads.keep_for(envelope, at)
        return self._put(self._ready(kept, name=name, eta=at))

    def _ready(self, envelope: Envelope, *, name: str | None, eta: dt.datetime | None) -> _Ready:
        """Return the task that carries a call, named after its id if it was given no name.

        A name makes Cloud Tasks slower, but without one a creation whose answer was lost could be
        neither repeated, lest it be there twice, nor left, lest it be lost. The ids are random,
        which spares the worst of it: the documentation warns of names with a common beginning.
        """
        hop = eta and min(eta, self.clock.now() + _LONGEST_HOP)
        new = NewTask(
            target=Target.DEFERRED,
            label=envelope.task,
            queue=envelope.queue,
            body=self.payloads.stow(envelope, self.codec, eta),
            name=name or envelope.id,
            eta=hop,
            timeout=envelope.timeout,
            min_backoff=envelope.min_backoff,
            max_backoff=envelope.max_backoff,
        )
        return _Ready(id=envelope.id, eta=eta, new=new)

    def _put(self, ready: _Ready) -> TaskHandle:
        try:
            name: str | None = self.queue.enqueue(ready.new)
        except TaskExistsError:
            name = None
        return self._handle(ready, name)

    def _put_many(self, ready: Sequence[_Ready | EncodeError | EnqueueError]) -> Sequence[Enqueued]:
        told = iter(self.queue.enqueue_many([one.new for one in ready if isinstance(one, _Ready)]))
        return [self._told(one, next(told)) if isinstance(one, _Ready) else one for one in ready]

    def _told(self, ready: _Ready, told: str | EnqueueError) -> TaskHandle | EnqueueError:
        if isinstance(told, TaskExistsError):
            return self._handle(ready, None)
        return told if isinstance(told, EnqueueError) else self._handle(ready, told)

    def _handle(self, ready: _Ready, name: str | None) -> TaskHandle:
        """Return the handle of a task that was given this full name, None if it was there."""
        new = ready.new
        return TaskHandle(
            id=ready.id if name else None,
            name=name or self.queue.full_name(new.queue, new.name or ""),
            queue=new.queue,
            eta=ready.eta,
            is_new=name is not None,
            _queue=self.queue,
        )
