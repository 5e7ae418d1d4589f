"""What an application says about an iteration: hooks and limits of one class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeVar

from adjourn.errors import DeclarationError
from adjourn.iteration.control import RunHandle
from adjourn.iteration.hooks import OnError
from adjourn.ports import QuerySource
from adjourn.tasks.arguments import is_lazy
from adjourn.tasks.options import Options

E = TypeVar("E")

_LARGEST_BATCH = 1000
# Half of what Cloud Tasks waits for an answer by default (10 minutes), so that the lease fits in.
_LONGEST_STEP = 300
_LONGEST_LEASE = 3600
_MOST_RETRIES = 1000
_MOST_SHARDS = 100
_LONGEST_NAME = 500
_HOOKS = (
    "load",
    "handle_entry",
    "handle_batch",
    "handle_error",
    "handle_finish",
    "on_start",
    "on_pause",
    "on_cancel",
    "merge",
)


class StartOptions(NamedTuple):
    """How a run is started; see `QueryIter.start`."""

    shards: int
    name: str | None
    queue: str | None
    limit: int | None
    start_cursor: str | bytes | None
    end_cursor: str | bytes | None
    transaction: object | None

    def check(self) -> None:
        """Refuse what is out of its range.

        Raises:
            DeclarationError: The message says what.
        """
        if type(self.shards) is not int or not 1 <= self.shards <= _MOST_SHARDS:
            raise DeclarationError(
                f"shards={self.shards!r} must be a whole number from 1 to {_MOST_SHARDS}."
            )
        is_name = isinstance(self.name, str) and 1 <= len(self.name) <= _LONGEST_NAME
        if self.name is not None and not is_name:
            raise DeclarationError(
                f"name={self.name!r:.50} must have 1 to {_LONGEST_NAME} characters."
            )
        if self.limit is not None and (type(self.limit) is not int or self.limit < 1):
            raise DeclarationError(f"limit={self.limit!r} must be a whole number from 1.")
        Options().changed(queue=self.queue)


Start = Callable[[type[Any], object, object, StartOptions], RunHandle]


class QueryIter(Generic[E]):
    """What to do with each entity of a query; subclass it and decorate it with `@app.query_iter`.

    Instances hold no state between steps: what must last belongs in `custom_data`, which may be
    changed by `on_start`, `handle_entry`, `handle_batch`, `handle_error` and `handle_finish`. What
    a step that did not come to its end has changed is dropped: the data are always those of the
    step. With several shards each has a copy of its own, and `merge` combines them.

    Attributes:
        batch_size: Entities read at once.
        step_seconds: How long a step goes on before the next one is enqueued, up to 300. None lets
            each shard find out: 10 at first, twice as long after each step that used them in full,
            at most 120, half as long after one that died.
        lease_seconds: How long after its beginning a step that died is carried out again; twice
            its time, and at least 60, if None. It has to outlast a step and its longest entity.
        max_entry_retries: How often an entity that fails is tried again, with growing waits and
            without holding up the others, before `handle_error` is asked.
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
    queue_name: ClassVar[str | None] = None

    # Whether the hooks get keys alone, and pass them on to Datastore.
    in_bulk: ClassVar[bool] = False
    in_batches: ClassVar[bool] = False
    registered_name: ClassVar[str] = ""
    _starter: ClassVar[Callable[[], Start] | None] = None
    _queries: QuerySource

    def load(self, entity: Any) -> E:
        """Turn an entity into what the other hooks get; as it is, unless overridden."""
        entry: E = entity
        return entry

    def handle_entry(self, entry: E, custom_data: Any) -> None:
        """Handle one entity; after a crash it may come again, so let a repetition do no harm."""
        raise NotImplementedError

    def handle_batch(
        self, entries: Sequence[E], custom_data: Any
    ) -> Sequence[Exception | None] | None:
        """Handle up to `batch_size` entities; define it instead of `handle_entry`.

        If it raises, the same entities come one by one, each in a list of its own, so that those
        that fail are found.

        Returns:
            For each entity, in order: None, or why it failed, so that only those that failed come
            again. None for all of them if none failed.
        """
        raise NotImplementedError

    def handle_error(self, entry: E, custom_data: Any, exception: Exception) -> bool | OnError:  # noqa: ARG002
        """Say what to do with an entity that failed for good: CONTINUE (the default), RETRY, STOP.

        An exception means STOP.
        """
        return True

    def handle_finish(self, total_count: int, custom_data: Any) -> None:
        """Conclude the run; `total_count` entities were handled. Tried again if it raises."""

    def on_start(self, custom_data: Any) -> None:
        """Prepare the run, before the first entity. Tried again if it raises."""

    def on_pause(self, custom_data: Any) -> None:
        """Do something when the run has come to rest; changes of the data are dropped."""

    def on_cancel(self, custom_data: Any) -> None:
        """Clean up when a cancelled run has come to rest; changes of the data are dropped."""

    def merge(self, first: Any, second: Any) -> Any:
        """Combine the `custom_data` of two shards, for a run with several.

        Each began with a copy of those of the start; those that never changed them are left out.
        """
        raise NotImplementedError

    @classmethod
    def overrides(cls, hook: str) -> bool:
        """Whether a hook is the class's own."""
        return getattr(cls, hook) is not getattr(QueryIter, hook)

    @classmethod
    def check(cls) -> None:
        """Refuse a class that could not be carried out; `@app.query_iter` does it.

        Raises:
            DeclarationError: A hook is missing or not a plain function, or an attribute is wrong.
        """
        if not cls.overrides("handle_entry") and not cls.overrides("handle_batch"):
            raise DeclarationError(
                f"{cls.__name__} needs handle_entry(self, entry, custom_data), or handle_batch."
            )
        if cls.overrides("handle_entry") and cls.overrides("handle_batch"):
            raise DeclarationError(
                f"{cls.__name__} has handle_entry and handle_batch; leave one of them out."
            )
        for hook in _HOOKS:
            if is_lazy(getattr(cls, hook)):
                raise DeclarationError(f"{cls.__name__}.{hook} must be a plain function.")
        cls._check_number("batch_size", 1, _LARGEST_BATCH)
        cls._check_number("max_entry_retries", 0, _MOST_RETRIES)
        cls._check_seconds("step_seconds", _LONGEST_STEP)
        cls._check_seconds("lease_seconds", _LONGEST_LEASE)
        Options().changed(queue=cls.queue_name)

    @classmethod
    def _check_number(cls, name: str, least: int, most: int) -> None:
        value = getattr(cls, name)
        if type(value) is not int or not least <= value <= most:
            raise DeclarationError(
                f"{cls.__name__}.{name} must be a whole number from {least} to {most}."
            )

    @classmethod
    def _check_seconds(cls, name: str, most: int) -> None:
        value = getattr(cls, name)
        if value is not None and (type(value) not in {int, float} or not 0 < value <= most):
            raise DeclarationError(
                f"{cls.__name__}.{name} must be more than 0 and at most {most}, or None."
            )

    @classmethod
    def over(cls, queries: QuerySource) -> Self:
        """Return what carries out one step."""
        hooks = cls()
        hooks._queries = queries
        return hooks

    @classmethod
    def bind(
        cls,
        name: str,
        starter: Callable[[], Start],
    ) -> None:
        """Tie the class to an application; `@app.query_iter` does it."""
        cls.registered_name = name
        cls.in_batches = cls.overrides("handle_batch")
        cls._starter = staticmethod(starter)

    @classmethod
    def start(
        cls,
        query: object,
        custom_data: object = None,
        *,
        shards: int = 1,
        name: str | None = None,
        queue: str | None = None,
        limit: int | None = None,
        start_cursor: str | bytes | None = None,
        end_cursor: str | bytes | None = None,
        transaction: object | None = None,
    ) -> RunHandle:
        """Begin to walk over a `google.cloud.datastore` query.

        Inside a Datastore transaction the run begins if that is committed, and only then.

        Args:
            query: The query; each entity that it returns is handed to the hooks.
            custom_data: Anything that a task's arguments may be.
            shards: How many parts of the query are walked over at the same time. It is cut into
                more parts, so that uneven ones even out; one that cannot be cut says so in a log
                event and is walked over as a whole.
            name: A second start of the class under the same name starts nothing: its handle has
                `is_new` False.
            queue: Short name of the queue of the steps, instead of the class's own.
            limit: Handle so many entities at most.
            start_cursor: Where in the query to begin.
            end_cursor: Where to end.
            transaction: The Datastore transaction with which the run stands and falls; not needed
                where the application has given its client to `App`.

        Raises:
            DeclarationError: The query cannot be resumed, an option is wrong, or the class is not
                registered.
            EncodeError: `custom_data` cannot be carried.
            EnqueueError: Cloud Tasks did not accept a first step. The run is cancelled; a start
                under the same name begins anew.
            StoreError: Datastore could not be reached. If it took the run and the answer was lost,
                it begins all the same; a start under the same name then joins it.
        """
        # Looked up in the class itself: a subclass needs a registration of its own.
        if "_starter" not in vars(cls) or cls._starter is None:
            raise DeclarationError(f"Decorate {cls.__name__} with @app.query_iter to start it.")
        options = StartOptions(
            shards=shards,
            name=name,
            queue=queue,
            limit=limit,
            start_cursor=start_cursor,
            end_cursor=end_cursor,
            transaction=transaction,
        )
        options.check()
        return cls._starter()(cls, query, custom_data, options)
