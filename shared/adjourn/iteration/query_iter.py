"""`QueryIter`, the class that users write, and the calls of its hooks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

from adjourn.errors import DeclarationError, StoreError, StoreRefusedError
from adjourn.iteration.class_check import check_class, check_reserved
from adjourn.iteration.control import RunHandle
from adjourn.iteration.shards import error_summary
from adjourn.iteration.validation import StartOptions
from adjourn.log import event
from adjourn.names import plain_text
from adjourn.ports import QuerySource
from adjourn.ports.query_source import Query
from adjourn.tasks.plain_values import plain_number

E = TypeVar("E")
if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    D = TypeVarWithDefault("D", default=Any)
else:
    D = TypeVar("D")


class OnError(Enum):
    """What `handle_error` can answer."""

    CONTINUE = auto()  # count the error and go on
    RETRY = auto()  # try the entity again, as often as before
    STOP = auto()  # stop the run at this entity


Start = Callable[[type[Any], object, object, StartOptions], RunHandle]


class QueryIter(Generic[E, D]):
    """What to do with each entity of a query; subclass it and decorate it with `@app.query_iter`.

    `QueryIter[Entity]` names the type of what the hooks handle, `QueryIter[Entity, dict[str, int]]`
    also that of the custom data.

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
    queue_name: ClassVar[str | None] = None

    # Whether the hooks get only keys, for bulk operations of Datastore.
    in_bulk: ClassVar[bool] = False
    in_batches: ClassVar[bool] = False
    registered_name: ClassVar[str] = ""
    _starter: ClassVar[Callable[[], Start] | None] = None
    _queries: QuerySource

    if not TYPE_CHECKING:

        def __class_getitem__(cls, types: Any) -> Any:
            has_one = cls is QueryIter and not isinstance(types, tuple)
            return super().__class_getitem__((types, Any) if has_one else types)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a class that hides what registers and runs it."""
        super().__init_subclass__(**kwargs)
        check_reserved(cls)

    def load(self, entity: Any) -> E:
        """Convert an entity to what the other hooks get. By default it stays as it is."""
        entry: E = entity
        return entry

    def handle_entry(self, entry: E, custom_data: D) -> None:
        """Handle one entity. After a crash it may come again, so make it idempotent."""
        raise NotImplementedError

    def handle_batch(
        self, entries: Sequence[E], custom_data: D
    ) -> Sequence[Exception | None] | None:
        """Handle up to `batch_size` entities. Define it instead of `handle_entry`.

        If it raises, the same entities come one by one, each in a list of its own. That finds the
        ones that fail.

        Returns:
            None if no entity failed. Otherwise a list with, for each entity in order, None or the
            exception with which it failed. Only those that failed come again.
        """
        raise NotImplementedError

    def handle_error(self, entry: E, custom_data: D, exception: Exception) -> bool | OnError:  # noqa: ARG002
        """Decide about an entity that failed for good: CONTINUE (the default), RETRY or STOP.

        If it raises, that is STOP.
        """
        return True

    def handle_finish(self, total_count: int, custom_data: D) -> None:
        """Finish the run, of which `total_count` entities were handled. Retried if it raises."""

    def on_start(self, custom_data: D) -> None:
        """Prepare the run, before the first entity. Retried if it raises."""

    def on_pause(self, custom_data: D) -> None:
        """React when the run is paused, after its last step. Changes of the data are dropped."""

    def on_cancel(self, custom_data: D) -> None:
        """Clean up a cancelled run, after its last step. Changes of the data are dropped."""

    def merge(self, first: D, second: D) -> D:
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
        cls.registered_name = name
        cls.in_batches = cls.overrides("handle_batch")
        cls._starter = staticmethod(starter)

    @classmethod
    def start(
        cls,
        query: Query,
        custom_data: D | None = None,
        *,
        shards: int = 1,
        name: str | None = None,
        queue: str | None = None,
        limit: int | None = None,
        start_cursor: str | bytes | None = None,
        end_cursor: str | bytes | None = None,
        transaction: object | None = None,
    ) -> RunHandle:
        """Start a run over the entities of a `google.cloud.datastore` query.

        Inside a Datastore transaction the run begins only if that is committed.

        Args:
            query: The query. Each entity that it returns is given to the hooks.
            custom_data: Anything that a task's arguments may be.
            shards: How many shards are walked over at the same time, 1 to 100. The query is split
                into more, so that uneven ones even out. If it cannot be split, a log event says
                why, and there is one shard.
            name: Up to 500 characters. A second start of the class under the same name starts
                nothing: its handle has `is_new` False.
            queue: Short name of the queue of the steps, instead of the class's own.
            limit: The most entities to handle.
            start_cursor: Where in the query to begin.
            end_cursor: Where in the query to end.
            transaction: The Datastore transaction with which the run is to be committed. Not needed
                if the application gave its client to `App`.

        Raises:
            DeclarationError: The query cannot be resumed, an option is wrong, or the class is not
                registered.
            EncodeError: `custom_data` cannot be carried.
            EnqueueError: Cloud Tasks did not accept a first step. The run is cancelled; a start
                under the same name begins anew.
            StoreError: Datastore could not be reached. If it stored the run but its response was
                lost, the run begins; a start under the same name then joins it.
        """
        # vars, because a subclass needs a registration of its own.
        if "_starter" not in vars(cls) or cls._starter is None:
            raise DeclarationError(f"Decorate {cls.__name__} with @app.query_iter to start it.")
        options = StartOptions(
            shards=plain_number(shards),
            name=plain_text(name),
            queue=plain_text(queue),
            limit=plain_number(limit),
            start_cursor=start_cursor,
            end_cursor=end_cursor,
            transaction=transaction,
        )
        options.check()
        return cls._starter()(cls, query, custom_data, options)


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
    try:
        loaded = [hooks.load(entry) for entry in entries]
        if hooks.in_batches:
            return _batch_results(hooks.handle_batch(loaded, custom_data), len(entries))
        hooks.handle_entry(loaded[0], custom_data)
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


def call_handle_error(
    hooks: QueryIter[Any], entry: object, custom_data: object, error: Exception
) -> OnError:
    """Call `handle_error` for an entity and return its answer. If it raises, that is STOP."""
    try:
        answer = hooks.handle_error(_loaded(hooks, entry), custom_data, error)
    except KeyboardInterrupt:
        raise
    except BaseException as another:  # noqa: BLE001 - a failing hook stops the run, as False does
        event("iteration.error", logging.ERROR, error_summary(another), error=another)
        return OnError.STOP
    if isinstance(answer, OnError):
        return answer
    return OnError.CONTINUE if answer else OnError.STOP


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


def _loaded(hooks: QueryIter[Any], entry: object) -> object:
    """Return what `load` makes of an entity; the entity itself if `load` is what failed."""
    try:
        return hooks.load(entry)
    except Exception:  # noqa: BLE001 - handle_error gets the error of the entity
        return entry
