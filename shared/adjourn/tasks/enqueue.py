"""Turn calls into tasks on a queue."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from inspect import BoundArguments
from typing import Any, TypeVar

from adjourn.concurrency import batches, in_threads
from adjourn.coroutines import is_on_loop
from adjourn.errors import DeclarationError, EncodeError, EnqueueError, TaskExistsError
from adjourn.names import numbered
from adjourn.ports import Adapters, NewTask, Target
from adjourn.serialization.codec import Codec
from adjourn.serialization.context import ContextPropagator
from adjourn.serialization.envelope import Envelope
from adjourn.settings import Settings
from adjourn.state.call_records import CallRecords
from adjourn.state.large_payloads import LargePayloads
from adjourn.state.transaction_markers import FIRST_WAIT, TransactionMarkers
from adjourn.state.unique_records import UniqueCall, UniqueCalls
from adjourn.tasks.arguments import check_arguments, flow_keys
from adjourn.tasks.blocking import tell_blocking
from adjourn.tasks.handle import Enqueued, TaskHandle
from adjourn.tasks.named_call import NamedCall
from adjourn.tasks.prepared import Prepared, Tried
from adjourn.tasks.task import Task
from adjourn.tasks.unique import unique_call

T = TypeVar("T", bound=Task[..., Any])

# Cloud Tasks accepts a start at most 30 days ahead (https://cloud.google.com/tasks/docs/quotas).
# A call with a later start is enqueued for this long and then enqueued again.
LONGEST_DELAY = dt.timedelta(days=29)


@dataclass(kw_only=True, eq=False, repr=False)
class Enqueuer:
    """Turns calls into tasks on a queue.

    Attributes:
        told: The tasks of which it was told that they are enqueued on an event loop.
    """

    adapters: Adapters
    settings: Settings
    codec: Codec
    propagator: ContextPropagator
    markers: TransactionMarkers
    payloads: LargePayloads
    unique_calls: UniqueCalls
    call_records: CallRecords
    told: set[str] = field(default_factory=set)

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
            tell_blocking(task, self.told, "await {}.adefer(...)")
        if task.defaults.unique_by is not None:
            return self._enqueue_unique(task, args, kwargs, user_start)
        name = task.defaults.call_name
        return self._create(self._prepare(task, args, kwargs, name, call, user_start=user_start))

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
            handle = self._create(prepared)
            if handle.is_new:
                calls.mark_enqueued(unique, admission.name, handle.name)
                return replace(handle, _on_cancelled=partial(calls.release, unique))
            admission = calls.admit_taken(unique, admission.name)
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
            tell_blocking(task, self.told, "async for result in {}.amap(...)")
        if task.defaults.unique_by is not None:
            raise DeclarationError("Unique calls are made one by one, not with map.")

        def prepared() -> Iterator[Tried]:
            batch = task.defaults.call_name
            for index, args in enumerate(calls):
                name = batch and f"{numbered(batch, index)}-{index}"
                yield self._tried(partial(self._prepare, task, args, {}, name))

        return self._create_all(prepared())

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

        return self._create_all(map(prepared, calls))

    def _tried(self, prepare: Callable[[], Prepared]) -> Tried:
        try:
            return prepare()
        except (EncodeError, EnqueueError) as error:
            return error

    def _create_all(self, prepared: Iterable[Tried]) -> Iterator[Enqueued]:
        def size(one: Tried) -> int:
            return len(one.task.body) if isinstance(one, Prepared) else 0

        return in_threads(self._create_many, batches(prepared, size))

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
        return self._create(self._with_task(going_on, name=envelope.resumed_name, eta=at))

    def _prepare(
        self,
        task: Task[..., Any],
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        name: str | None,
        call: str = "",
        *,
        unique: bool = False,
        user_start: str = "",
        schedule: str = "",
    ) -> Prepared:
        options, now = task.defaults, self.adapters.clock.now()
        options.check_timeout(task.name, self.settings.function_timeout)
        accepted = check_arguments(task.name, task.function, args, kwargs)
        eta = options.start(now, self.adapters.chance())
        call = call or self.adapters.new_id()
        marker = self.markers.put(call, options.transaction, eta)
        envelope = Envelope(
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
        )
        # A commit takes a moment: a delivery before that would only have to be repeated.
        start = max(eta or now, now + FIRST_WAIT) if marker else eta
        return self._with_task(envelope, name=name, eta=start)

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

    def _with_task(
        self, envelope: Envelope, *, name: str | None, eta: dt.datetime | None
    ) -> Prepared:
        """Return a call with its task, which is named after the call unless a name is given.

        Cloud Tasks is slower with named tasks. But if the answer to the creation of an unnamed
        task is lost, it can be neither repeated without the risk of a duplicate nor left out
        without the risk of a loss. The ids are random, because the documentation advises against
        names with a common prefix.
        """
        task_eta = eta and min(eta, self.adapters.clock.now() + LONGEST_DELAY)
        if task_eta != eta:
            envelope = envelope._replace(starts_at=eta, hops_at=task_eta)
        task = NewTask(
            target=Target.DEFERRED,
            label=envelope.task,
            queue=envelope.queue,
            body=self.payloads.body_for(envelope, self.codec, eta),
            name=name or envelope.id,
            eta=task_eta,
            timeout=envelope.timeout,
            min_backoff=envelope.min_backoff,
            max_backoff=envelope.max_backoff,
        )
        return Prepared(id=envelope.id, made_at=envelope.enqueued_at, eta=eta, task=task)

    def _create(self, prepared: Prepared) -> TaskHandle:
        try:
            name: str | None = self.adapters.queue.enqueue(prepared.task)
        except TaskExistsError:
            name = None
        return self._handle(prepared, name)

    def _create_many(self, batch: Sequence[Tried]) -> Sequence[Enqueued]:
        tasks = [one.task for one in batch if isinstance(one, Prepared)]
        replies = iter(self.adapters.queue.enqueue_many(tasks))
        return [
            self._result(one, next(replies)) if isinstance(one, Prepared) else one for one in batch
        ]

    def _result(self, prepared: Prepared, reply: str | EnqueueError) -> TaskHandle | EnqueueError:
        if isinstance(reply, TaskExistsError):
            return self._handle(prepared, None)
        return reply if isinstance(reply, EnqueueError) else self._handle(prepared, reply)

    def _handle(self, prepared: Prepared, name: str | None) -> TaskHandle:
        """Return the handle of a new task with this full name, or of an existing one if None."""
        task, queue = prepared.task, self.adapters.queue
        return TaskHandle(
            id=prepared.id if name else None,
            name=name or queue.full_name(task.queue, task.name or ""),
            queue=task.queue,
            eta=prepared.eta,
            is_new=name is not None,
            _queue=queue,
            _records=self.call_records,
            _task=task.label,
            _made_at=prepared.made_at,
        )
