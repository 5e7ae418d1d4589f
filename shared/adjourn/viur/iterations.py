"""Iterations as ViUR declares them: by being a subclass, with hooks that are class methods."""

from __future__ import annotations

from typing import Any

import adjourn.iteration.bulk
import adjourn.iteration.query_iter
from adjourn.errors import DeclarationError
from adjourn.iteration.control import RunHandle
from adjourn.viur.application import app
from adjourn.viur.calls import DEFAULT_QUEUE


class MetaQueryIter(type):
    """Registers each subclass of `QueryIter` where it is defined."""

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> None:
        super().__init__(name, bases, namespace)
        if any(isinstance(base, MetaQueryIter) for base in bases):
            subclass: Any = cls
            queue = subclass.queueName
            subclass.queue_name = None if queue == DEFAULT_QUEUE else queue
            known_as = f"viur.core.tasks.{name}" if cls.__module__ == __name__ else ""
            app.query_iter(aliases=[known_as] if known_as else [])(subclass)


class QueryIter(adjourn.iteration.query_iter.QueryIter[Any], metaclass=MetaQueryIter):
    """What to do with each entity of a query; a subclass is registered by being one.

    Attributes:
        queueName: Short name of the queue of the steps; "default" is the application's own.
    """

    queueName = DEFAULT_QUEUE

    @classmethod
    def startIterOnQuery(cls, query: object, customData: object = None) -> RunHandle:
        """Begin to walk over a query; see `adjourn.QueryIter.start`.

        Args:
            query: One of `google.cloud.datastore`, or a `db.Query` of ViUR's without a skeleton.
            customData: Anything that a task's arguments may be; hooks may change it.
        """
        if not hasattr(query, "queries"):
            return cls.start(query, customData)
        told = _definition(query)
        cursors = {"start_cursor": told.startCursor, "end_cursor": told.endCursor}
        orders = [(name, order.value) for name, order in told.orders or ()]
        google = app.query({**vars(told), "kind": told.kind, "orders": orders})
        return cls.start(google, customData, **cursors)

    @classmethod
    def handleEntry(cls, entry: Any, customData: Any) -> None:
        """Handle one entity; after a crash it may come again, so let a repetition do no harm."""

    @classmethod
    def handleFinish(cls, totalCount: int, customData: Any) -> None:
        """Conclude the run; `totalCount` entities were handled."""

    @classmethod
    def handleError(cls, entry: Any, customData: Any, exception: Exception) -> bool:  # noqa: ARG003
        """Say whether to go on (True, the default) or to stop the run at this entity (False)."""
        return True

    def handle_entry(self, entry: Any, custom_data: Any) -> None:
        """Call `handleEntry`."""
        self.handleEntry(entry, custom_data)

    def handle_finish(self, total_count: int, custom_data: Any) -> None:
        """Call `handleFinish`."""
        self.handleFinish(total_count, custom_data)

    def handle_error(self, entry: Any, custom_data: Any, exception: Exception) -> bool:
        """Call `handleError`."""
        return bool(self.handleError(entry, custom_data, exception))


class DeleteEntitiesIter(QueryIter, adjourn.iteration.bulk.DeleteEntitiesIter):
    """Deletes all entities of a query; one that has a `handleEntry` of its own, by that."""

    # Of this and handle_batch, a class has one.
    handle_entry = adjourn.iteration.query_iter.QueryIter.handle_entry

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if _plain(cls.handleEntry) is not _plain(DeleteEntitiesIter.handleEntry):
            one_by_one: Any = cls
            one_by_one.in_bulk = False
            one_by_one.handle_entry = QueryIter.handle_entry
            one_by_one.handle_batch = QueryIter.handle_batch

    @classmethod
    def handleEntry(cls, entry: Any, customData: Any) -> None:  # noqa: ARG003 - as its base has it
        """Delete one entity."""
        app.wiring().adapters.queries.delete([entry])


def _plain(hook: Any) -> object:
    return getattr(hook, "__func__", hook)


def _definition(query: Any) -> Any:
    """Return what a `db.Query` of ViUR's asks of Datastore.

    Raises:
        DeclarationError: ViUR does more with it than to ask Datastore.
    """
    told = query.queries
    if getattr(query, "srcSkel", None) is not None:
        raise DeclarationError("A query of a skeleton is ViUR's own; give one of its kind.")
    if isinstance(told, list) or told is None or getattr(told, "or_filters", None):
        raise DeclarationError(
            "A query that cannot be met, or that is made of several, cannot be walked over; give"
            " one of google.cloud.datastore, which knows IN and OR."
        )
    return told
