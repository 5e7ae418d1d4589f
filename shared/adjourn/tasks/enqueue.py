"""Turn calls into tasks on a queue."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from inspect import BoundArguments
from typing import TYPE_CHECKING, Any, TypeVar

from adjourn.concurrency import batches
from adjourn.coroutines import is_on_loop
from adjourn.errors import DeclarationError, EncodeError, EnqueueError
from adjourn.log import is_observed
from adjourn.names import numbered
from adjourn.serialization.context import ContextPropagator
from adjourn.serialization.envelope import Envelope
from adjourn.settings import Settings
from adjourn.state.transaction_markers import FIRST_WAIT, TransactionMarkers
from adjourn.state.unique_records import UniqueCall, UniqueCalls
from adjourn.tasks.arguments import check_arguments, flow_keys
from adjourn.tasks.blocking import tell_blocking
from adjourn.tasks.collecting import is_collected
from adjourn.tasks.creation import TaskCreator
from adjourn.tasks.named_call import NamedCall
from adjourn.tasks.prepared import Prepared, Tried
from adjourn.tasks.task import Task
from adjourn.tasks.unique import unique_call

if TYPE_CHECKING:
    from adjourn.tasks.handle import Enqueued, TaskHandle

T = TypeVar("T", bound=Task[..., Any])


@dataclass(kw_only=True, eq=False, repr=False)
class Enqueuer(TaskCreator):
    """Turns calls into tasks on a queue.

    Attributes:
        collect: Makes the calls that are debounced or throttled.
    """

    settings: Settings
    propagator: ContextPropagator
    markers: TransactionMarkers
    unique_calls: UniqueCalls
    collect: Callable[
        [Enqueuer, Task[..., Any], Sequence[tuple[tuple[object, ...], Mapping[str, object]]], str],
        Sequence[Enqueued],
    ]

    def enqueue(
        self,
        task: Task[..., Any],
        args: tuple[object, ...],
        kwargs: dict[str, object],
        *,
        call: str = "",
        user_start: str = "",
    ) -> TaskHandle:
        """Enqueue one call.

        Args:
            task: The task to call.
            args: Its positional arguments.
            kwargs: Its keyword arguments.
            call: The id of the call; a new one if empty.
            user_start: Name of the record that a user was checked who started it.

        Raises:
            EncodeError: An argument cannot be encoded, or the function does not accept it; the
                message names it.
            EnqueueError: Cloud Tasks did not accept the task.
            DeclarationError: The call is unique and made inside a transaction.
        """
        if is_on_loop():
            line = f"await {task.__qualname__}.adefer(...)"
            tell_blocking(task.name, "enqueued", self.told, line)
        if is_observed():
            from adjourn.tasks.observed_sending import observed  # noqa: PLC0415 - for those with an SDK

            enqueue = partial(self._enqueue, task, args, kwargs, call, user_start)
            return observed(task.name, task.defaults.queue or self.settings.queue, enqueue)
        return self._enqueue(task, args, kwargs, call, user_start)

    def _enqueue(
        self,
        task: Task[..., Any],
        args: tuple[object, ...],
        kwargs: dict[str, object],
        call: str,
        user_start: str,
    ) -> TaskHandle:
        if task.defaults.unique_by is not None:
            return self._enqueue_unique(task, args, kwargs, user_start)
        if is_collected(task.defaults):
            (made,) = self.collect(self, task, [(args, kwargs)], user_start)
            if isinstance(made, Exception):
                raise made
            return made
        name = task.defaults.call_name
        return self.create(self._prepare(task, args, kwargs, name, call, user_start=user_start))

    def _enqueue_unique(
        self,
        task: Task[..., Any],
        args: tuple[object, ...],
        kwargs: dict[str, object],
        user_start: str,
    ) -> TaskHandle:
        accepted = check_arguments(task.name, task.function, args, kwargs)
        unique, calls = self._unique_call(task, accepted), self.unique_calls
        admission = calls.admit(unique)
        while admission.is_granted:
            name = admission.name
            prepared = self._prepare(task, args, kwargs, name, unique=True, user_start=user_start)
            handle = self.create(prepared)
            if handle.is_new:
                calls.mark_enqueued(unique, admission.name, handle.name)
                return replace(handle, _on_cancelled=partial(calls.release, unique))
            admission = calls.admit_taken(unique, admission.name)
        from adjourn.tasks.handle import TaskHandle  # noqa: PLC0415 - for those who enqueue

        return TaskHandle(
            id=None,
            name=admission.name,
            queue=unique.queue,
            eta=None,
            is_new=False,
            _queue=self.adapters.queue,
            _on_cancelled=partial(calls.release, unique),
        )

    def imap(self, task: Task[..., Any], calls: Iterable[tuple[object, ...]]) -> Iterator[Enqueued]:
        """Enqueue one call for each tuple of arguments; see `Task.imap`."""
        if is_on_loop():
            line = f"async for result in {task.__qualname__}.amap(...)"
            tell_blocking(task.name, "enqueued", self.told, line)
        if task.defaults.unique_by is not None:
            raise DeclarationError("Unique calls are made one by one, not with map.")
        if is_collected(task.defaults):
            return self._collected(task, calls)

        def prepared() -> Iterator[Tried]:
            batch = task.defaults.call_name
            for index, args in enumerate(calls):
                name = batch and f"{numbered(batch, index)}-{index}"
                yield self._tried(partial(self._prepare, task, args, {}, name))

        return self._create_all(task.name, task.defaults.queue, prepared())

    def _collected(
        self, task: Task[..., Any], calls: Iterable[tuple[object, ...]]
    ) -> Iterator[Enqueued]:
        for batch in batches(calls, lambda _: 0):
            yield from self.collect(self, task, [(args, {}) for args in batch], "")

    def enqueue_named(self, calls: Iterable[NamedCall]) -> Iterator[Enqueued]:
        """Enqueue calls, in batches, while the results are consumed.

        Yields:
            For each call, in order: a handle, or the error because of which it was not enqueued.

        Raises:
            DeclarationError: A call may take longer than the deferred function.
        """

        def prepared(call: NamedCall) -> Tried:
            task, args, kwargs, name, schedule = call
            return self._tried(
                partial(self._prepare, task, args, kwargs, name, name, schedule=schedule)
            )

        return self._create_all("", None, map(prepared, calls))

    def _create_all(
        self, task: str, queue: str | None, prepared: Iterable[Tried]
    ) -> Iterator[Enqueued]:
        if not is_observed():
            return self.create_all(prepared)
        from adjourn.tasks.observed_sending import observed_batch  # noqa: PLC0415 - for those with an SDK

        return observed_batch(task, queue or self.settings.queue, self.create_all, prepared)

    def _tried(self, prepare: Callable[[], Prepared]) -> Tried:
        try:
            return prepare()
        except (EncodeError, EnqueueError) as error:
            return error

    def in_transaction(self, task: T) -> T:
        """Return a task whose calls depend on the transaction that is open here, if one is.

        A transaction is open for a thread, and the call may be made in another one.
        """
        transaction = self.markers.transaction(task.defaults.transaction)
        if transaction is None or transaction is task.defaults.transaction:
            return task
        return task.with_defaults(task.defaults.changed(transaction=transaction))

    def resume(self, envelope: Envelope, at: dt.datetime) -> TaskHandle:
        """Enqueue a delivered call again, under a name that only this resumption has.

        Raises:
            EnqueueError: Cloud Tasks did not accept the task.
            StoreError: The lifetime of its payload could not be extended.
        """
        extended = self.payloads.extend_for(envelope, at)
        going_on = extended._replace(starts_at=at, hops_at=None)
        return self.create(self.with_task(going_on, name=envelope.resumed_name, eta=at))

    def full_name(self, task: Task[..., Any], name: str) -> str:
        """Return the full name of what carries a call of a task under a short name."""
        queue = task.defaults.queue or self.settings.queue
        full_name: str = self.adapters.queue.full_name(queue, name)
        return full_name

    def put(self, envelope: Envelope, name: str, eta: dt.datetime | None = None) -> TaskHandle:
        """Enqueue a call as a task of this short name, which starts at `eta` or at once.

        Raises:
            EncodeError: The call cannot be encoded.
            EnqueueError: Cloud Tasks did not accept the task.
        """
        return self.create(self.with_task(envelope, name=name, eta=eta))

    def _prepare(
        self,
        task: Task[..., Any],
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        name: str | None,
        call: str = "",
        **origin: Any,
    ) -> Prepared:
        envelope = self.envelope(task, args, kwargs, name, call, **origin)
        # A commit takes a moment: a delivery before that would only have to be repeated.
        soon = envelope.enqueued_at + FIRST_WAIT
        start = max(envelope.eta or soon, soon) if envelope.marker else envelope.eta
        return self.with_task(envelope, name=name, eta=start)

    def envelope(
        self,
        task: Task[..., Any],
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        name: str | None = None,
        call: str = "",
        *,
        unique: bool = False,
        user_start: str = "",
        schedule: str = "",
    ) -> Envelope:
        """Return a call as it is enqueued; errors are those of `enqueue`."""
        options, now = task.defaults, self.adapters.clock.now()
        options.check_timeout(task.name, self.settings.function_timeout)
        accepted = check_arguments(task.name, task.function, args, kwargs)
        eta = options.start(now, self.adapters.chance())
        call = call or self.adapters.new_id()
        marker = self.markers.put(call, options.transaction, eta)
        return Envelope(
            id=call,
            task=task.name,
            args=args,
            kwargs=kwargs,
            enqueued_at=now,
            queue=options.queue or self.settings.queue,
            eta=eta,
            expires_at=(eta or now) + options.expires if options.expires else None,
            timeout=options.timeout,
            max_retries=options.max_retries,
            min_backoff=options.min_backoff,
            max_backoff=options.max_backoff,
            once=options.once,
            no_retry=options.no_retry,
            marker=marker,
            unique=(name or "") if unique else "",
            user_start=user_start,
            schedule=schedule,
            context=self.propagator.capture(),
            flow=flow_keys(task.name, options, accepted, self.codec),
            keep_result=options.keep_result,
        )

    def _unique_call(self, task: Task[..., Any], accepted: BoundArguments) -> UniqueCall:
        options = task.defaults
        if self.markers.transaction(options.transaction) is not None:
            # If it were rolled back, later calls would still be refused.
            raise DeclarationError(f"{task.name} is unique; call it after the transaction.")
        return unique_call(
            task.name,
            accepted,
            options,
            queue=options.queue or self.settings.queue,
            now=self.adapters.clock.now(),
            codec=self.codec,
        )
