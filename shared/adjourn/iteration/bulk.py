"""Iterations that delete or update all entities of a query in bulk."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any, ClassVar

from adjourn.errors import DeclarationError
from adjourn.iteration.class_check import HOOKS, check_class
from adjourn.iteration.query_iter import QueryIter, answered

_HOOKS = {name: HOOKS[name] for name in HOOKS if name not in {"load", "handle_entry"}}

_WHOLE = {"projection": (), "distinct_on": ()}  # the query to which whole entities belong


class _BulkIter(QueryIter[Any]):
    """Passes the keys of entities to bulk operations of Datastore."""

    in_bulk = True
    _hooks: ClassVar[Mapping[str, tuple[str, ...]]] = _HOOKS

    @classmethod
    def can_be_dry(cls) -> bool:
        """Whether the class can say what it would do."""
        own = {DeleteEntitiesIter.handle_batch, UpdateEntitiesIter.handle_batch}
        return cls.handle_batch in own or super().can_be_dry()

    def would_do(
        self,
        entries: Sequence[Any],
        custom_data: Any,  # noqa: ARG002
    ) -> Sequence[str | Exception | None]:
        """Return for each entity what would be done with it, or why that would fail."""
        return ["delete"] * len(entries)

    @classmethod
    def check(cls) -> None:
        """Refuse a class that cannot be carried out. `@app.query_iter` calls it.

        Raises:
            DeclarationError: It has a `load` or `handle_entry`, or see `QueryIter.check`.
        """
        for hook in ("load", "handle_entry"):
            if cls.in_bulk and cls.overrides(hook):
                raise DeclarationError(
                    f"{cls.__name__} gets keys alone and handles them itself; leave {hook} out, or"
                    " make it a subclass of adjourn.QueryIter."
                )
        check_class(cls, cls._hooks)


class DeleteEntitiesIter(_BulkIter):
    """Deletes all entities that a query returns, 500 in a commit.

    Only the keys are read. Decorate a subclass with `@app.query_iter`. It may define all hooks but
    `handle_entry` and `load`.
    """

    def handle_batch(
        self,
        entries: Sequence[Any],
        custom_data: Any,  # noqa: ARG002
    ) -> Sequence[Exception | None] | None:
        """Delete entities. It does not matter if some are gone."""
        self._queries.delete(entries)
        return None


class UpdateEntitiesIter(_BulkIter):
    """Reads, changes and writes all entities that a query returns, 50 in a transaction.

    Changes by others are not lost: each entity is read in the transaction that writes it. Entities
    that others change at the same time are retried in smaller groups. Decorate a subclass that
    defines `update_entry` with `@app.query_iter`. It may define all hooks but `handle_entry` and
    `load`.
    """

    _hooks = _HOOKS | {"update_entry": ("entry", "custom_data")}

    def update_entry(self, entry: Any, custom_data: Any) -> Awaitable[bool | None] | bool | None:
        """Change an entity in place. Return False to leave it unchanged.

        It is called again, with the entity as it is then, if a transaction lost to contention, and
        after a crash even if the entity was written. So make it idempotent, and change nothing but
        the entity.

        Args:
            entry: A `google.cloud.datastore.Entity` as it is now, even if the query does not
                return it any more. Entities that are gone are left out.
            custom_data: That of the run.
        """
        raise NotImplementedError

    def handle_batch(
        self, entries: Sequence[Any], custom_data: Any
    ) -> Sequence[Exception | None] | None:
        """Update entities, and return the error of each that failed."""
        return self._queries.change(entries, partial(self._update, custom_data))

    def would_do(
        self, entries: Sequence[Any], custom_data: Any
    ) -> Sequence[str | Exception | None]:
        """Return for each entity what would be done with it, or why that would fail."""
        references = [self._queries.refer(_WHOLE, each) for each in entries]
        found = self._queries.find(_WHOLE, references)
        return [self._would_update(entry, custom_data) for entry in found]

    def _would_update(self, entry: Any, custom_data: Any) -> str | Exception | None:
        """Return what would be done with an entity, of which only a copy is changed."""
        if entry is None:
            return "leave out, because it is gone"
        try:
            is_left = self._update(custom_data, deepcopy(entry)) is False
        except Exception as error:  # noqa: BLE001 - whatever the user's code raises
            return error
        return None if is_left else "update"

    def _update(self, custom_data: Any, entry: Any) -> bool | None:
        answer: bool | None = answered(self.update_entry(entry, custom_data))
        return answer

    @classmethod
    def check(cls) -> None:
        """Refuse a class that cannot be carried out. `@app.query_iter` calls it.

        Raises:
            DeclarationError: `update_entry` is missing or cannot be called, or see
                `DeleteEntitiesIter.check`.
        """
        super().check()
        if cls.update_entry is UpdateEntitiesIter.update_entry:
            raise DeclarationError(f"{cls.__name__} needs update_entry(self, entry, custom_data).")
