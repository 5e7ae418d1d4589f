"""The batch of the running call, to which that may add children."""

from __future__ import annotations

from collections import Counter
from contextvars import ContextVar
from functools import cached_property

from adjourn.batches.adding import ChildAdder
from adjourn.batches.block import maker
from adjourn.batches.ends import Ends
from adjourn.batches.place import Place
from adjourn.batches.records import KEPT, BatchRecord
from adjourn.batches.registration import Registration
from adjourn.concurrency import Scoped
from adjourn.errors import NoCurrentBatchError
from adjourn.tasks.enqueue import Enqueuer

_running: ContextVar[RunningChild] = ContextVar("adjourn_batch_child")


class CurrentBatch(ChildAdder):
    """The batch of the running call.

    What is added is enqueued at once; inside a `with` block, together when that ends. The batch
    cannot end before, since the running call is one of its children. If the call is retried, or
    repeats a block that broke off, it does not add the same children again.
    """

    _seen: Counter[str]

    def _begin(self) -> None:
        self._is_entered = True
        self._seen = self._naming.seen.copy()

    def _leave(self, *, is_complete: bool) -> None:
        """Enqueue what the block has added, or forget what it has not registered."""
        self._is_entered, has_made = False, False
        try:
            if is_complete:
                self.flush()
                has_made = True
        finally:
            if not has_made:
                self._break_off(self._seen)


class RunningChild:
    """A child that runs, and what it adds to its batch."""

    def __init__(self, enqueuer: Enqueuer, ends: Ends, place: Place) -> None:
        self._enqueuer = enqueuer
        self._ends = ends
        self._place = place

    @cached_property
    def batch(self) -> CurrentBatch:
        """The batch. There is one object of it, which tells what was added with equal arguments."""
        now = self._enqueuer.adapters.clock.now()
        # Never written, as there is a record where a child runs.
        template = BatchRecord(id=self._place.batch, name="", created_at=now, expires_at=now + KEPT)
        registration = Registration(ends=self._ends, template=template, adder=self._place)
        return CurrentBatch(self._enqueuer, registration, maker(self._enqueuer, self._ends))

    @property
    def has_unmade(self) -> bool:
        """Whether it has added something that was not enqueued."""
        return "batch" in vars(self) and self.batch.has_unmade


def current_batch() -> CurrentBatch:
    """Return the batch of the running call, to add children to it.

    Raises:
        NoCurrentBatchError: No child of a batch is running.
    """
    try:
        return _running.get().batch
    except LookupError:
        raise NoCurrentBatchError(
            "No child of a batch is running here; call it within one."
        ) from None


def running(child: RunningChild) -> Scoped[RunningChild]:
    """Return a context manager in which a child runs."""
    return Scoped(_running, child)
