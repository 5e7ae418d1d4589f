"""The batch as its `with` block sees it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Protocol

from adjourn.batches import callbacks
from adjourn.batches.adding import ChildAdder, check_outside
from adjourn.batches.ends import Ends
from adjourn.batches.new_children import BatchOptions
from adjourn.batches.place import Place
from adjourn.batches.records import KEPT, BatchRecord
from adjourn.batches.registration import MOST, Registration
from adjourn.errors import DeclarationError, EncodeError
from adjourn.serialization.codec import is_unicode
from adjourn.tasks.arguments import check_arguments
from adjourn.tasks.collecting import is_collected
from adjourn.tasks.enqueue import Enqueuer
from adjourn.tasks.methods import BoundTask
from adjourn.tasks.task import Task

POLICIES = ("continue", "cancel")
_LONGEST_NAME = 500
# What would have no effect on a call whose time is the end of the batch.
_NOT_OF_ENDS = ("delay", "eta", "spread", "expires", "call_name", "unique_by", "transaction")

Attach = Callable[[Callable[[Place], object]], None]


class BatchMaker(Protocol):
    """What makes the batch of a block."""

    def __call__(self, options: BatchOptions, attach: Attach | None = None) -> Batch:
        """Return a batch; `attach` adds it to an outer one."""


class Batch(ChildAdder):
    """Calls, runs and nested batches with one end; see `App.batch`.

    Attributes:
        name: The name that it was given; "" for none.
    """

    def __init__(
        self,
        enqueuer: Enqueuer,
        registration: Registration,
        make: BatchMaker,
        attach: Attach | None = None,
    ) -> None:
        super().__init__(enqueuer, registration, make)
        self.name = registration.template.name
        self._attach = attach

    def _begin(self) -> None:
        check_outside(self._enqueuer)
        if self._is_entered:
            raise DeclarationError("A batch has one block; make another one for another block.")
        self._is_entered = True

    def _settle(self) -> None:
        if not self._is_entered:
            raise DeclarationError("Add children in a block: with app.batch(...) as batch: ...")

    def _leave(self, *, is_complete: bool) -> None:
        """Enqueue the rest and seal the batch; a nested one is sealed with its outer one."""
        if not is_complete:
            return
        with self._lock:
            while len(self._waiting) > MOST:
                self._enqueue(list(islice(self._waiting.values(), MOST)))
            if self._attach is None:
                self._enqueue(list(self._waiting.values()), is_seal=True)
            else:
                self.flush()
                self._attach(lambda place: self._enqueue([], is_seal=True, outer=place.text))


def template(enqueuer: Enqueuer, options: BatchOptions) -> BatchRecord:
    """Return the record of a new batch.

    Raises:
        DeclarationError: An argument is wrong.
    """
    name: object = options.name
    if not isinstance(name, str) or len(name) > _LONGEST_NAME or not is_unicode(name):
        raise DeclarationError(
            f"name={name!r:.80} must have 1 to {_LONGEST_NAME} characters of Unicode."
        )
    if options.policy not in POLICIES:
        raise DeclarationError(f'policy={options.policy!r:.80} must be "continue" or "cancel".')
    now = enqueuer.adapters.clock.now()
    return BatchRecord(
        id=options.id,
        name=options.name,
        created_at=now,
        expires_at=now + KEPT,
        cancels_rest=options.policy == "cancel",
        on_done=_callback(enqueuer, options.id, "on_done", options.on_done),
        on_failed=_callback(enqueuer, options.id, "on_failed", options.on_failed),
        queue=enqueuer.settings.queue,
    )


def _callback(enqueuer: Enqueuer, batch: str, what: str, task: object) -> bytes:
    if task is None:
        return b""
    if not isinstance(task, Task):
        raise DeclarationError(
            f"{what}={task!r:.80} must be a task: decorate the function with @app.deferred."
        )
    options = task.defaults
    wrong = [name for name in _NOT_OF_ENDS if getattr(options, name) is not None]
    if wrong or is_collected(options):
        raise DeclarationError(
            f"{what}: {task.name} is called when the batch says so; leave"
            f" {', '.join(wrong) or 'debounce and throttle'} out."
        )
    receiver = (task.receiver_argument(),) if isinstance(task, BoundTask) else ()
    plain = task.with_defaults(options._replace(flow=None, flow_key=None))
    try:
        check_arguments(task.name, task.function, (*receiver, {}), {})
    except EncodeError as error:
        raise DeclarationError(f"{what} is called with the summary alone: {error}") from None
    call = enqueuer.envelope(plain, (*receiver, {}), {}, call="end")
    return callbacks.stored(enqueuer.adapters, batch, call._replace(args=receiver), enqueuer.codec)


def maker(enqueuer: Enqueuer, ends: Ends) -> BatchMaker:
    """Return what makes the batches of an application."""

    def make(options: BatchOptions, attach: Attach | None = None) -> Batch:
        record = template(enqueuer, options)
        return Batch(enqueuer, Registration(ends=ends, template=record), make, attach)

    return make
