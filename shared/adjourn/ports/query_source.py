"""What iterations ask of the outside world: the user's queries and the entities that they have.

As in `adjourn.ports`, an internal seam with an adapter, a twin and one contract suite for both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol


class Page(NamedTuple):
    """Some results of a query and, for each of them, the position behind it.

    A position stays where it is when entries before it are deleted or added.
    """

    entries: Sequence[object]
    cursors: Sequence[str]
    more: bool


class Split(NamedTuple):
    """A query in pieces that have all its results between them, each of them once.

    Attributes:
        pieces: The queries; what is added later belongs to one of them, too.
        reason: Why there is only one piece; "" if there are several.
    """

    pieces: Sequence[Mapping[str, object]]
    reason: str = ""


class QuerySource(Protocol):
    """The user's queries, told as plain values so that they can wait in a run's entity."""

    def describe(
        self,
        query: object,
        *,
        limit: int | None = None,
        start_cursor: str | bytes | None = None,
        end_cursor: str | bytes | None = None,
        keys_only: bool = False,
    ) -> Mapping[str, object]:
        """Return all that is needed to run the query elsewhere, in values that the codec carries.

        Args:
            query: The query.
            limit: How many results are wanted; stands under "limit", and whoever pages counts.
            start_cursor: Position behind which the results begin, as the user's client gave it.
            end_cursor: Position at which they end.
            keys_only: Whether the keys of entities are enough, whatever the query asks for.

        Raises:
            DeclarationError: The query cannot be resumed; the message says why.
        """

    def warnings(self, query: Mapping[str, object]) -> Sequence[str]:
        """Return what may surprise whoever changes entries while they are walked over."""

    def page(self, query: Mapping[str, object], *, cursor: str, limit: int) -> Page:
        """Return up to `limit` results behind `cursor` ("" is the start).

        Raises:
            StoreError: Datastore could not be reached or refused.
        """

    def count(self, query: Mapping[str, object]) -> int:
        """Return how many results the query has now, within its limit and cursors.

        Raises:
            StoreError: Datastore could not be reached or refused.
        """

    def split(self, query: Mapping[str, object], pieces: int) -> Split:
        """Return the query in up to so many pieces of about the same size.

        Raises:
            StoreError: Datastore could not be reached or refused.
        """

    def refer(self, query: Mapping[str, object], entry: object) -> object:
        """Return what the codec carries and `find` takes: the key of an entry.

        What a projection gives is no entity that could be found again, and stands for itself.
        """

    def find(
        self, query: Mapping[str, object], references: Sequence[object]
    ) -> Sequence[object | None]:
        """Return the entries as they are now, in order, None where they are gone.

        They are found by what `refer` gave, whether or not the query still has them.

        Raises:
            StoreError: Datastore could not be reached or refused.
        """

    def delete(self, entries: Sequence[object]) -> None:
        """Delete the entities that are there, in as few commits as there can be.

        Raises:
            ConflictError: Others kept interfering; some may be gone.
            StoreError: Datastore could not be reached or refused; some may be gone.
        """

    def change(
        self, entries: Sequence[object], function: Callable[[Any], object]
    ) -> Sequence[Exception | None]:
        """Read entities, let `function` change each, and write it, in transactions.

        Those that others interfere with come again, in ever smaller groups, so that they keep
        nobody else from being changed; `function` may be called for them several times.

        Args:
            entries: The entities; those that are gone are left out.
            function: Gets an entity as it is now, and changes it in place. It stays as it is if
                the answer is False, or if this raises.

        Returns:
            For each entry, in order: None, or what kept it from being changed.

        Raises:
            StoreError: Datastore could not be reached; some may have been changed.
        """
