"""Add children to a batch: they are registered together, and then made."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, overload

from adjourn.batches.new_children import BatchOptions, Naming, NewChild, new_call, new_run
from adjourn.batches.place import Place, State
from adjourn.batches.registration import MOST, Registration
from adjourn.coroutines import off_loop
from adjourn.errors import DeclarationError, EncodeError, EnqueueError
from adjourn.iteration.query_iter import QueryIter
from adjourn.tasks.enqueue import Enqueuer
from adjourn.tasks.prepared import Prepared
from adjourn.tasks.task import Task, zipped

if TYPE_CHECKING:
    from adjourn.batches.block import Batch, BatchMaker

P = ParamSpec("P")


class ChildAdder(ABC):
    """Adds children to a batch.

    Children are enqueued a thousand at a time, and the rest when the `with` block ends. Without a
    block, each is enqueued at once.
    """

    def __init__(self, enqueuer: Enqueuer, registration: Registration, make: BatchMaker) -> None:
        self._enqueuer = enqueuer
        self._registration = registration
        self._make = make
        self._naming = Naming(batch=registration.batch, scope=registration.scope)
        self._waiting: dict[bytes, NewChild] = {}
        self._lock = threading.RLock()
        self._is_entered = False

    def __enter__(self) -> Self:
        self._begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave(is_complete=kind is None)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await off_loop(partial(self._leave, is_complete=kind is None))

    @abstractmethod
    def _begin(self) -> None:
        """Begin the block."""

    @abstractmethod
    def _leave(self, *, is_complete: bool) -> None:
        """End the block, which an error has left if it is not complete."""

    @property
    def id(self) -> str:
        """Identifies the batch; `App.batches` takes it."""
        return self._registration.batch

    @property
    def has_unmade(self) -> bool:
        """Whether something was added that is not enqueued."""
        return bool(self._waiting)

    @overload
    def add(
        self,
        task: type[QueryIter[Any]],
        /,
        query: object,
        custom_data: object = None,
        **options: Any,
    ) -> None: ...
    @overload
    def add(self, task: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> None: ...
    def add(self, task: Any, /, *args: Any, **kwargs: Any) -> None:
        """Add a call of a deferred task with these arguments, or a run of an iteration class.

        A run's arguments are those of `QueryIter.start`. The option `call_name` of a task names the
        call among those of the task in the batch; of several with one name, the first is added.

        If the block is run again under the same name, the same children are not added again. Those
        with the same arguments are told apart by their number.

        Raises:
            DeclarationError: It can be no child of a batch, or a transaction is open.
            EncodeError: An argument cannot be encoded, or the function does not accept it.
            BatchSealedError: The batch takes no more children.
            EnqueueError: Some children were not enqueued; the batch stays open.
            StoreError: Datastore could not be reached; the batch stays open.
        """
        self._add(partial(self._new, task, args, kwargs))

    def map(self, task: Task[..., Any], first: Iterable[Any], /, *others: Iterable[Any]) -> None:
        """Add a call for each item, as `Task.map` makes them; errors are those of `add`.

        With `call_name`, each call is named after it and the number of its item.
        """
        for number, args in enumerate(zipped(first, others)):
            self._take(partial(self._new, task, args, {}, number))
        self._settle()

    def batch(
        self,
        *,
        name: str | None = None,
        on_done: Task[..., Any] | None = None,
        on_failed: Task[..., Any] | None = None,
        policy: str = "continue",
    ) -> Batch:
        """Return a batch that is a child of this one; arguments are those of `App.batch`.

        Its end counts as one child: as failed if one of its own children is.
        """
        key = self._naming.named("batch", name) if name else self._naming.alike("batch")
        options = BatchOptions(key.hex(), name or "", on_done, on_failed, policy)
        return self._make(options, partial(self._add_batch, key))

    def flush(self) -> None:
        """Enqueue what was added and is not enqueued yet; errors are those of `add`."""
        with self._lock:
            while self._waiting:
                self._enqueue(list(islice(self._waiting.values(), MOST)))

    @overload
    async def aadd(
        self,
        task: type[QueryIter[Any]],
        /,
        query: object,
        custom_data: object = None,
        **options: Any,
    ) -> None: ...
    @overload
    async def aadd(self, task: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> None: ...
    async def aadd(self, task: Any, /, *args: Any, **kwargs: Any) -> None:
        """Add a child without holding up the event loop; see `add`."""
        await off_loop(partial(self.add, task, *args, **kwargs))

    async def amap(
        self, task: Task[..., Any], first: Iterable[Any], /, *others: Iterable[Any]
    ) -> None:
        """Add calls without holding up the event loop; see `map`."""
        await off_loop(partial(self.map, task, first, *others))

    def _new(
        self, task: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *number: int
    ) -> NewChild:
        check_outside(self._enqueuer)
        if isinstance(task, Task):
            return new_call(self._enqueuer, self._naming, task, args, kwargs, *number)
        if isinstance(task, type) and issubclass(task, QueryIter):
            return new_run(self._enqueuer, self._naming, task, *args, **kwargs)
        raise DeclarationError(
            f"{task!r:.80} is no child of a batch: give what @app.deferred or @app.query_iter has"
            " made, or nest a batch (batch.batch(...))."
        )

    def _add_batch(self, key: bytes, begin: Callable[[Place], object]) -> None:
        now = self._enqueuer.adapters.clock.now()
        self._add(partial(NewChild.of_batch, key, self._naming.scope, now, begin))

    def _add(self, make: Callable[[], NewChild]) -> None:
        self._take(make)
        self._settle()

    def _take(self, make: Callable[[], NewChild]) -> None:
        with self._lock:  # equal ones are counted while they are made
            new = make()
            self._waiting.setdefault(new.child.key, new)
            if len(self._waiting) >= MOST:
                self.flush()

    def _settle(self) -> None:
        if not self._is_entered:
            self.flush()

    def _enqueue(self, new: Sequence[NewChild], *, is_seal: bool = False, outer: str = "") -> None:
        """Register children and make them; they are taken off the list when all are made."""
        calls, places = self._registered(new, is_seal=is_seal, outer=outer)
        missing = (calls[each.child.key] for each in new if each.child.key in calls)
        for result in self._enqueuer.create_all(missing):
            if isinstance(result, EncodeError | EnqueueError):
                raise result
        for each in new:
            if each.begin and self._is_open(each):
                each.begin(self._place(each, places))
        for each in new:
            del self._waiting[each.child.key]

    def _break_off(self, seen: Counter[str]) -> None:
        """Forget what is not registered; a repetition of the block names the same children."""
        with self._lock:
            known = self._registration.known
            self._waiting = {key: new for key, new in self._waiting.items() if key in known}
            self._naming.seen = seen

    def _registered(
        self, new: Sequence[NewChild], *, is_seal: bool, outer: str
    ) -> tuple[dict[bytes, Prepared], dict[bytes, str]]:
        """Register children, and return the calls among them and the shards of all."""
        registration, children = self._registration, [each.child for each in new]
        latest = max((each.start for each in new), default=registration.template.created_at)
        queues = {each.queue for each in new if each.queue}
        while True:
            plan = registration.plan(children, latest, queues)
            places = {**{k: v.shard for k, v in registration.known.items()}, **plan.places}
            # Before they are registered: what cannot be encoded must not be.
            calls = self._calls(new, places)
            is_needed = plan.places or is_seal
            if not is_needed or registration.write(plan, is_seal=is_seal, outer=outer):
                return calls, places

    def _calls(self, new: Sequence[NewChild], shards: dict[bytes, str]) -> dict[bytes, Prepared]:
        """Return the calls among some children that have not ended, each with its task."""
        return {
            each.child.key: self._prepared(each.prepare, self._place(each, shards))
            for each in new
            if each.prepare and self._is_open(each)
        }

    def _prepared(self, prepare: Callable[[Place], Prepared], place: Place) -> Prepared:
        try:
            return prepare(place)
        except EncodeError:
            # It would only be refused again, with whatever is added next.
            if place.key not in self._registration.known:
                del self._waiting[place.key]
            raise

    def _place(self, new: NewChild, shards: dict[bytes, str]) -> Place:
        key = new.child.key
        return Place(self.id, shards[key], key.hex())

    def _is_open(self, new: NewChild) -> bool:
        """Whether a child has not ended yet, as far as is known."""
        known = self._registration.known.get(new.child.key)
        return known is None or known.state is State.OPEN


def check_outside(enqueuer: Enqueuer) -> None:
    """Refuse to add children inside of a transaction.

    Raises:
        DeclarationError: One is open.
    """
    if enqueuer.markers.transaction(None) is not None:
        raise DeclarationError(
            "A transaction is open here, and a child of a batch cannot depend on its commit; add"
            " it after the transaction."
        )
