"""Iterations as ViUR declares them: by being a subclass, with hooks that are class methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import adjourn.iteration.bulk
import adjourn.iteration.query_iter
from adjourn.errors import DeclarationError, StoreError
from adjourn.iteration.run_handle import RunHandle
from adjourn.viur.application import app
from adjourn.viur.calls import DEFAULT_QUEUE
from adjourn.viur.keys import is_entity, to_google_entry
from adjourn.viur.queries import (
    ViurRun,
    entry_of,
    is_query,
    own_data,
    query_of,
    run_of,
    skeleton_of,
)
from adjourn.viur.steps import ViurStep

_OWN_STEPS = ("_qryStep", "_requeueStep")


class MetaQueryIter(type):
    """Registers each subclass of `QueryIter` where it is defined.

    Raises:
        DeclarationError: It has steps of its own, which nothing would call.
    """

    _classCache: ClassVar[dict[str, type]] = {}

    __classID__: str

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> None:
        super().__init__(name, bases, namespace)
        cls.__classID__ = str(cls)
        MetaQueryIter._classCache[cls.__classID__] = cls
        if any(isinstance(base, MetaQueryIter) for base in bases):
            _refuse_own_steps(name, namespace)
            subclass: Any = cls
            queue = subclass.queueName
            subclass.queue_name = None if queue == DEFAULT_QUEUE else queue
            known_as = f"viur.core.tasks.{name}" if cls.__module__ == __name__ else ""
            app.query_iter(aliases=[known_as] if known_as else [])(subclass)


def _refuse_own_steps(name: str, namespace: dict[str, Any]) -> None:
    own = [each for each in _OWN_STEPS if each in namespace]
    if own:
        raise DeclarationError(
            f"{name}.{own[0]} would never be called: adjourn reads and counts by itself. Move what"
            " it does into handleEntry, or into a hook of adjourn.QueryIter such as handle_batch."
        )


class QueryIter(adjourn.iteration.query_iter.QueryIter[Any], metaclass=MetaQueryIter):
    """What to do with each entity of a query; a subclass is registered by being one.

    Attributes:
        queueName: Short name of the queue of the steps; "default" is the application's own.
    """

    queueName = DEFAULT_QUEUE

    @classmethod
    def startIterOnQuery(cls, query: Any, customData: object = None) -> RunHandle:
        """Begin to walk over a query; see `adjourn.QueryIter.start`.

        Args:
            query: One of `google.cloud.datastore`, or a `db.Query` of ViUR's.
            customData: Anything that a task's arguments may be; hooks may change it.

        Raises:
            DeclarationError: The query is one that Datastore does not answer by itself.
        """
        if not is_query(query):
            return cls.start(query, customData)
        try:
            asked = query_of(query)
        except ValueError as error:
            raise DeclarationError(f"The query cannot be walked over: {error}") from error
        return app.start_run(cls, asked, run_of(query, customData))

    @classmethod
    def _requeueStep(cls, qryDict: dict[str, Any]) -> None:
        """Begin a run where a step of ViUR's stands, with its custom data."""
        step = ViurStep.read(qryDict)
        app.start_run(cls, step.query, step.custom_data)

    @classmethod
    def _qryStep(cls, qryDict: dict[str, Any]) -> None:
        """Begin a run where a step of ViUR's stands, with its custom data."""
        cls._requeueStep(qryDict)

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
        """Call `handleEntry` with the entry as ViUR has it, unless what it refers to is gone."""
        meant = entry_of(entry, custom_data)
        if meant is not None:
            self.handleEntry(meant, own_data(custom_data))

    def handle_finish(self, total_count: int, custom_data: Any) -> None:
        """Call `handleFinish`."""
        self.handleFinish(total_count, own_data(custom_data))

    def handle_error(self, entry: Any, custom_data: Any, exception: Exception) -> bool:
        """Call `handleError` with the entry as ViUR has it."""
        meant = entry_of(entry, custom_data)
        return bool(self.handleError(meant, own_data(custom_data), exception))


class DeleteEntitiesIter(QueryIter, adjourn.iteration.bulk.DeleteEntitiesIter):
    """Deletes all entities of a query; one that has a `handleEntry` of its own, by that."""

    # Of this and handle_batch, a class has one.
    handle_entry: Any = adjourn.iteration.query_iter.QueryIter.handle_entry

    def handle_batch(
        self, entries: Sequence[Any], custom_data: Any
    ) -> Sequence[Exception | None] | None:
        """Delete entities, those of a skeleton by its own `delete`."""
        if not isinstance(custom_data, ViurRun):
            return super().handle_batch(entries, custom_data)
        return [_deleted(each, custom_data) for each in entries]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if _plain(cls.handleEntry) is not _plain(DeleteEntitiesIter.handleEntry):
            one_by_one: Any = cls
            one_by_one.in_bulk = False
            one_by_one.handle_entry = QueryIter.handle_entry
            one_by_one.handle_batch = QueryIter.handle_batch

    @classmethod
    def handleEntry(cls, entry: Any, customData: Any) -> None:  # noqa: ARG003 - as its base has it
        """Delete one entity, or what a skeleton's instance stands for."""
        if hasattr(entry, "skeletonCls"):
            entry.delete()
        else:
            google = to_google_entry(entry) if is_entity(entry) else entry
            app.wiring().adapters.queries.delete([google])


def _deleted(entry: Any, run: ViurRun) -> Exception | None:
    """Delete what a skeleton has under the key of an entry; return why it could not be."""
    meant = entry_of(entry, run._replace(skeleton=None))
    if meant is None:
        return None
    try:
        if run.skeleton is None:
            DeleteEntitiesIter.handleEntry(meant, None)
            return None
        instance = skeleton_of(run.skeleton)
        read = getattr(instance, "read", None) or instance.fromDB
        if read(meant.key):
            instance.delete()
    except StoreError:
        raise  # no entity is to blame
    except Exception as error:  # noqa: BLE001 - whatever the skeleton raises
        return error
    return None


def _plain(hook: Any) -> object:
    return getattr(hook, "__func__", hook)
