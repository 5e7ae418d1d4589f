"""`QueryIter`, the class that users write, and the calls of its hooks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

from adjourn.coroutines import NOT_RUN, finished
from adjourn.errors import StoreError, StoreRefusedError
from adjourn.iteration.class_check import check_class, check_reserved
from adjourn.iteration.shards import error_summary
from adjourn.iteration.startable import D, Start, Startable
from adjourn.ports import QuerySource

E = TypeVar("E")


class OnError(Enum):
    """What `handle_error` can answer."""

    CONTINUE = auto()  # count the error and go on
    RETRY = auto()  # try the entity again, as often as before
    STOP = auto()  # stop the run at this entity


class QueryIter(Startable[D], Generic[E, D]):
    """What to do with each entity of a query; subclass it and decorate it with `@app.query_iter`.

    `QueryIter[Entity]` names the type of what the hooks handle, `QueryIter[Entity, dict[str, int]]`
    also that of the custom data.

    Hooks may be `async def`; the next one is called when it has ended.

    Instances are not kept between steps. State belongs in `custom_data`, which `on_start`,
    `handle_entry`, `handle_batch`, `handle_error` and `handle_finish` may change. The changes of a
    step are stored when it ends. If it is interrupted, they are dropped and the step begins with
    the data as they were before it. Each shard has a copy of its own; `merge` combines them.

    Attributes:
        batch_size: Entities read at once, 1 to 1000.
        step_seconds: Seconds after which a step ends and the next one is enqueued, at most 300. If
            None, each shard adapts: 10 at first, doubled after each step that used them in full up
            to 120, halved after a step that died.
        lease_seconds: Seconds after the last sign of life of a step in which it is not carried out
            again, at most 3600. A step gives such signs while its hooks are called, for up to an
            hour. If None, twice the step's time, and at least 60.
        max_entry_retries: How often an entity that fails is tried again before `handle_error` is
            called, 0 to 1000. It is retried in later steps, after increasing delays.
        max_failures: The run stops once more entities than this were given up: a whole number, or a
            share of all of them as a float below 1. Steps that run at the same time do not see each
            other's. `RunHandle.retry` counts anew. If None, they do not stop it.
        entities_per_second: How many entities all shards together handle at most, 0.001 to a
            million. If None, as many as they can.
        queue_name: Short name of the queue of the steps; the application's default queue if None.
        CONTINUE: Answer of `handle_error`: count the error and go on. The same as True.
        RETRY: Try the entity again, as often as before.
        STOP: Stop the run at this entity; `RunHandle.retry` goes on with it. The same as False.
    """

    CONTINUE = OnError.CONTINUE
    RETRY = OnError.RETRY
    STOP = OnError.STOP

    batch_size: ClassVar[int] = 500
    step_seconds: ClassVar[float | None] = None
    lease_seconds: ClassVar[float | None] = None
    max_entry_retries: ClassVar[int] = 3
    max_failures: ClassVar[int | float | None] = None
    entities_per_second: ClassVar[float | None] = None
    queue_name: ClassVar[str | None] = None

    # Whether the hooks get only keys, for bulk operations of Datastore.
    in_bulk: ClassVar[bool] = False
    in_batches: ClassVar[bool] = False
    tally: ClassVar[Any] = None  # of a dry run
    _queries: QuerySource

    if not TYPE_CHECKING:

        def __class_getitem__(cls, types: Any) -> Any:
            has_one = cls is QueryIter and not isinstance(types, tuple)
            return super().__class_getitem__((types, Any) if has_one else types)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a class that hides what registers and runs it."""
        super().__init_subclass__(**kwargs)
        check_reserved(cls)

    def load(self, entity: Any) -> E | Awaitable[E]:
        """Convert an entity to what the other hooks get. By default it stays as it is."""
        entry: E = entity
        return entry

    def handle_entry(self, entry: E, custom_data: D) -> Awaitable[None] | None:
        """Handle one entity. After a crash it may come again, so make it idempotent."""
        raise NotImplementedError

    def handle_batch(
        self, entries: Sequence[E], custom_data: D
    ) -> Awaitable[Sequence[Exception | None] | None] | Sequence[Exception | None] | None:
        """Handle up to `batch_size` entities. Define it instead of `handle_entry`.

        If it raises, the same entities come one by one, each in a list of its own. That finds the
        ones that fail.

        Returns:
            None if no entity failed. Otherwise a list with, for each entity in order, None or the
            exception with which it failed. Only those that failed come again.
        """
        raise NotImplementedError

    def dry_run_entry(self, entry: E, custom_data: D) -> Awaitable[str | None] | str | None:
        """Say what `handle_entry` or `handle_batch` would do with an entity, without doing it.

        Called instead of it in a run that was started with `dry_run`. `DeleteEntitiesIter` and
        `UpdateEntitiesIter` need none.

        Returns:
            A word or a few, such as "delete"; equal answers are counted together. None if nothing
            would be done.
        """
        raise NotImplementedError

    def handle_error(
        self,
        entry: E,  # noqa: ARG002
        custom_data: D,  # noqa: ARG002
        exception: Exception,  # noqa: ARG002
    ) -> Awaitable[bool | OnError] | bool | OnError:
        """Decide about an entity that failed for good: CONTINUE (the default), RETRY or STOP.

        If it raises, that is STOP.
        """
        return True

    def handle_finish(self, total_count: int, custom_data: D) -> Awaitable[None] | None:
        """Finish the run, of which `total_count` entities were handled. Retried if it raises."""

    def on_start(self, custom_data: D) -> Awaitable[None] | None:
        """Prepare the run, before the first entity. Retried if it raises."""

    def on_pause(self, custom_data: D) -> Awaitable[None] | None:
        """React when the run is paused, after its last step. Changes of the data are dropped."""

    def on_cancel(self, custom_data: D) -> Awaitable[None] | None:
        """Clean up a cancelled run, after its last step. Changes of the data are dropped."""

    def merge(self, first: D, second: D) -> Awaitable[D] | D:
        """Combine the `custom_data` of two shards.

        Each began with a copy of the data of the start. Shards that never changed theirs are left
        out.
        """
        raise NotImplementedError

    @classmethod
    def overrides(cls, hook: str) -> bool:
        """Whether the class defines a hook, itself or in a base below `QueryIter`."""
        return getattr(cls, hook) is not getattr(QueryIter, hook, None)

    @classmethod
    def can_be_dry(cls) -> bool:
        """Whether the class can say what it would do."""
        return cls.overrides("dry_run_entry")

    @classmethod
    def check(cls) -> None:
        """Refuse a class that cannot be carried out. `@app.query_iter` calls it.

        Raises:
            DeclarationError: A hook is missing or cannot be called, an attribute is wrong, or one
                of them is probably misspelled.
        """
        check_class(cls)

    @classmethod
    def over(cls, queries: QuerySource) -> Self:
        """Return an instance for one step."""
        hooks = cls()
        hooks._queries = queries
        return hooks

    @classmethod
    def bind(cls, name: str, starter: Callable[[], Start]) -> None:
        """Bind the class to an application. `@app.query_iter` calls it."""
        super().bind(name, starter)
        cls.in_batches = cls.overrides("handle_batch")


def call_handler(
    hooks: QueryIter[Any], entries: Sequence[object], custom_data: object
) -> Sequence[Exception | None] | Exception:
    """Call `handle_batch`, or `handle_entry` for a single entity.

    Returns:
        For each entity the error that it failed with, or None; one error if all of them failed.

    Raises:
        StoreError: A class that works in bulk could not reach Datastore. The entities did not fail.
    """
    hook = "handle_batch" if hooks.in_batches else "handle_entry"
    if not entries:
        return []
    try:
        loaded = [answered(hooks.load(entry)) for entry in entries]
        if hooks.in_batches:
            answer = answered(hooks.handle_batch(loaded, custom_data))
            return _batch_results(answer, len(entries))
        complete(hooks.handle_entry(loaded[0], custom_data))
    except KeyboardInterrupt:
        raise
    except Exception as error:
        is_outage = isinstance(error, StoreError) and not isinstance(error, StoreRefusedError)
        if hooks.in_bulk and is_outage:
            raise
        return error
    except BaseException as error:  # noqa: BLE001 - handle_error gets an Exception
        # Such as SystemExit and asyncio's CancelledError, which would end the function's process.
        return RuntimeError(f"{hook} raised {error_summary(error)}")
    return [None]


def _batch_results(answer: object, count: int) -> Sequence[Exception | None]:
    """Return the answer of `handle_batch` as a result for each entity.

    Raises:
        TypeError: It is neither None nor such a list.
    """
    if answer is None:
        return [None] * count
    results = answer if isinstance(answer, list | tuple) else ()
    if len(results) != count or not all(isinstance(each, Exception | None) for each in results):
        raise TypeError(
            f"handle_batch must return None, or None or an exception for each of {count}"
        )
    return results


def answered(result: Any) -> Any:
    """Return the answer of a hook; that of an `async def` once it has run."""
    return finished(result) if isinstance(result, Awaitable) else result


def complete(result: object) -> None:
    """Run a hook to its end of which no answer is expected, given what it has returned."""
    if isinstance(result, NOT_RUN):
        finished(result)
