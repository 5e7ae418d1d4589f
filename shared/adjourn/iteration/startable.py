"""What starts the runs of an iteration class."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from adjourn.errors import DeclarationError
from adjourn.iteration.runs import DRY
from adjourn.iteration.validation import StartOptions
from adjourn.ports.query_source import Query

if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    from adjourn.iteration.item_lists import ItemList
    from adjourn.iteration.run_handle import RunHandle

    D = TypeVarWithDefault("D", default=Any)
else:
    D = TypeVar("D")

Start = Callable[[type[Any], object, object, StartOptions], "RunHandle"]


class Startable(Generic[D]):
    """A class of which runs can be started once it is registered with an application."""

    registered_name: ClassVar[str] = ""
    _starter: ClassVar[Callable[[], Start] | None] = None

    @classmethod
    def bind(cls, name: str, starter: Callable[[], Start]) -> None:
        """Bind the class to an application.

        Raises:
            DeclarationError: The name is that of a dry run.
        """
        if name.endswith(DRY):
            raise DeclarationError(f"The name {name!r} must not end with {DRY!r}.")
        cls.registered_name = name
        cls._starter = staticmethod(starter)

    @classmethod
    def start(
        cls,
        query: Query | ItemList,
        custom_data: D | None = None,
        *,
        shards: int = 1,
        name: str | None = None,
        queue: str | None = None,
        limit: int | None = None,
        start_cursor: str | bytes | None = None,
        end_cursor: str | bytes | None = None,
        entities_per_second: float | None = None,
        dry_run: bool = False,
        transaction: object | None = None,
    ) -> RunHandle:
        """Start a run over the entities of a `google.cloud.datastore` query, or over a list.

        Inside a Datastore transaction the run begins only if that is committed.

        Args:
            query: The query. Each entity that it returns is given to the hooks. Or a `KeyList`,
                `RowList` or `CsvFile`, which is stored while it is read.
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
            entities_per_second: The pace of this run, instead of the class's own. It can be changed
                later (`RunHandle.pace`).
            dry_run: Only count the entities and what would be done with them (`RunState.dry_run`).
                The class needs `dry_run_entry`, unless it deletes or updates in bulk.
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
        starter = cls.starter()
        options = StartOptions.given(
            shards=shards,
            name=name,
            queue=queue,
            limit=limit,
            start_cursor=start_cursor,
            end_cursor=end_cursor,
            entities_per_second=entities_per_second,
            dry_run=dry_run,
            transaction=transaction,
        )
        options.check(cls)
        return starter()(cls, query, custom_data, options)

    @classmethod
    def starter(cls) -> Callable[[], Start]:
        """Return what returns what starts the runs of this class.

        Raises:
            DeclarationError: It is not registered.
        """
        # vars, because a subclass needs a registration of its own.
        if "_starter" not in vars(cls) or cls._starter is None:
            raise DeclarationError(f"Decorate {cls.__name__} with @app.query_iter to start it.")
        return cls._starter
