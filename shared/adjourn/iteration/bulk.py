"""Delete or update all entities of a query: what most applications need, in bulk."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from adjourn.errors import DeclarationError
from adjourn.iteration.query_iter import QueryIter
from adjourn.tasks.arguments import is_lazy


class _BulkIter(QueryIter[Any]):
    """Hands the keys of entities on to Datastore."""

    in_bulk = True

    @classmethod
    def check(cls) -> None:
        """Refuse a class that could not be carried out; `@app.query_iter` does it.

        Raises:
            DeclarationError: It has a `load`, for which there is nothing to load, or is wrong.
        """
        super().check()
        if cls.overrides("load"):
            raise DeclarationError(f"{cls.__name__} gets keys alone; leave load out.")


class DeleteEntitiesIter(_BulkIter):
    """Deletes all entities that a query returns, 500 in a commit.

    Only the keys are read. Subclass it and decorate that with `@app.query_iter`; hooks but
    `handle_entry` and `load` can be added.
    """

    def handle_batch(
        self,
        entries: Sequence[Any],
        custom_data: Any,  # noqa: ARG002
    ) -> Sequence[Exception | None] | None:
        """Delete entities; that some are gone does no harm."""
        self._queries.delete(entries)
        return None


class UpdateEntitiesIter(_BulkIter):
    """Reads, changes and writes all entities that a query returns, 50 in a transaction.

    Others' changes are not lost: each entity is read in the transaction that writes it. What
    others keep changing is tried again, in smaller groups. Subclass it, define `update_entry`, and
    decorate that with `@app.query_iter`; hooks but `handle_entry` and `load` can be added.
    """

    def update_entry(self, entry: Any, custom_data: Any) -> bool | None:
        """Change an entity in place; return False to leave it as it is.

        It is called again, with the entity as it is then, when a transaction met another one, and
        after a crash when it may have been written. So let a repetition do no harm, and change
        nothing but the entity.

        Args:
            entry: A `google.cloud.datastore.Entity`, as it is now, whether or not the query still
                returns it. It is left out if it is gone.
            custom_data: Those of the run.
        """
        raise NotImplementedError

    def handle_batch(
        self, entries: Sequence[Any], custom_data: Any
    ) -> Sequence[Exception | None] | None:
        """Update entities, and say which could not be."""
        return self._queries.change(entries, partial(self._update, custom_data))

    def _update(self, custom_data: Any, entry: Any) -> bool | None:
        return self.update_entry(entry, custom_data)

    @classmethod
    def check(cls) -> None:
        """Refuse a class that could not be carried out; `@app.query_iter` does it.

        Raises:
            DeclarationError: `update_entry` is missing or not a plain function, or see the base.
        """
        super().check()
        if cls.update_entry is UpdateEntitiesIter.update_entry:
            raise DeclarationError(f"{cls.__name__} needs update_entry(self, entry, custom_data).")
        if is_lazy(cls.update_entry):
            raise DeclarationError(f"{cls.__name__}.update_entry must be a plain function.")
