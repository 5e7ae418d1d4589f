"""The port for the queries of the application, which iterations run page by page."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol


class Query(Protocol):
    """A query of `google.cloud.datastore`, or a `MemoryQuery` of `adjourn.testing`."""

    @property
    def kind(self) -> Any:
        """The kind of the entities; None for all kinds."""


class Page(NamedTuple):
    """Some results of a query.

    Attributes:
        entries: The results.
        cursors: For each result, the position behind it. A position stays valid when entries
            before it are deleted or added.
        more: Whether there may be further results.
        references: For each result, what `find` takes; None if `refer` tells it.
    """

    entries: Sequence[object]
    cursors: Sequence[str]
    more: bool
    references: Sequence[object] | None = None

    def first(self, count: int) -> "Page":
        """Return the first results."""
        references = self.references and self.references[:count]
        return Page(self.entries[:count], self.cursors[:count], more=True, references=references)


class Split(NamedTuple):
    """A query in parts: each of its results is a result of exactly one part.

    Attributes:
        parts: The described queries; an entity that is added later belongs to one of them, too.
        reason: Why there is only one part; "" if there are several.
    """

    parts: Sequence[Mapping[str, object]]
    reason: str = ""


class QuerySource(Protocol):
    """Runs queries of the application, described as plain values that a run can store."""

    def describe(
        self,
        query: object,
        *,
        limit: int | None = None,
        start_cursor: str | bytes | None = None,
        end_cursor: str | bytes | None = None,
        keys_only: bool = False,
    ) -> Mapping[str, object]:
        """Describe a query in values that the codec can encode, so that it can run elsewhere.

        Args:
            query: The query.
            limit: Most results that are wanted, described under "limit". The callers of `page`
                must count.
            start_cursor: Position behind which the results begin, from Google's client.
            end_cursor: Position at which they end.
            keys_only: Whether to fetch only keys, whatever the query asks for.

        Raises:
            DeclarationError: The query cannot be resumed; the message says why.
        """

    def warnings(self, query: Mapping[str, object]) -> Sequence[str]:
        """Return warnings for those who change entities while the query is iterated."""

    def page(self, query: Mapping[str, object], *, cursor: str, limit: int) -> Page:
        """Return up to `limit` results behind `cursor` ("" is the start).

        Raises:
            StoreError: Datastore could not be reached or refused.
        """

    def count(self, query: Mapping[str, object]) -> int:
        """Return the number of results that the query has now, within its limit and cursors.

        Raises:
            StoreError: Datastore could not be reached or refused.
        """

    def split(self, query: Mapping[str, object], parts: int) -> Split:
        """Return the query in up to so many parts of about the same size.

        Raises:
            StoreError: Datastore could not be reached or refused.
        """

    def refer(self, query: Mapping[str, object], entry: object) -> object:
        """Return a reference to an entry for `find`, which the codec can encode: its key.

        A projected result is not an entity that could be found again; it is its own reference.
        """

    def find(
        self, query: Mapping[str, object], references: Sequence[object]
    ) -> Sequence[object | None]:
        """Return the entries as they are now, in order, None where they are gone.

        An entry is found by its reference, even if it is no longer a result of the query.

        Raises:
            StoreError: Datastore could not be reached or refused.
        """

    def check_key(self, key: object) -> None:
        """Refuse what is not the key of an entity of the application.

        Raises:
            DeclarationError: It is no complete key, of another project or database, or the kind is
                adjourn's own or reserved; the message says which.
        """

    def delete(self, entries: Sequence[object]) -> None:
        """Delete the entities that exist, in as few commits as possible.

        Raises:
            ConflictError: The last attempt lost to contention, too; some may be gone.
            StoreError: Datastore could not be reached or refused; some may be gone.
        """

    def change(
        self, entries: Sequence[object], function: Callable[[Any], object]
    ) -> Sequence[Exception | None]:
        """Read entities, let `function` change each of them, and write them, in transactions.

        A group of entities that loses to contention is tried again in smaller groups, so that one
        contended entity does not block the others. `function` may be called for an entity several
        times.

        Args:
            entries: The entities; those that no longer exist are left out.
            function: Receives an entity as it is now and changes it in place. If it returns False
                or raises, the entity is not written.

        Returns:
            For each entry, in order: None, or the error because of which it was not changed.

        Raises:
            StoreError: Datastore could not be reached; some may have been changed.
        """
