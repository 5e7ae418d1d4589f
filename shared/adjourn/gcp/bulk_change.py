"""Change many entities of the application, a group of them in each transaction."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from adjourn.errors import ConflictError, StoreRefusedError
from adjourn.gcp.datastore_api import ContentionRetry, entity_message, lookup, translated

if TYPE_CHECKING:
    from google.cloud.datastore import Client, Entity, Key

# The more entities a transaction has, the likelier is contention; and each takes three calls.
_GROUP = 50
_ATTEMPTS = 8


class BulkChange:
    """Reads, changes and writes entities; a group that fails is halved and tried again.

    Args:
        client: The client.
        function: Changes an entity in place; if it returns False, the entity is not written.
        retry: Pauses before a group is tried again.
    """

    def __init__(
        self,
        client: Client,
        function: Callable[[Any], object],
        retry: ContentionRetry,
    ) -> None:
        self._client = client
        self._function = function
        self._retry = retry
        self._failed: dict[Key, Exception] = {}

    def run(self, keys: Sequence[Key]) -> dict[Key, Exception]:
        """Change the entities that exist; return the error of each one that could not be changed.

        Raises:
            StoreError: Datastore could not be reached; some entities may have been changed.
        """
        distinct = list(dict.fromkeys(keys))
        groups = deque((0, distinct[at : at + _GROUP]) for at in range(0, len(distinct), _GROUP))
        while groups:
            attempt, group = groups.popleft()
            self._retry.pause(attempt)
            try:
                self._failed |= self._change(group)
            except ConflictError as error:
                groups += self._smaller(attempt + 1, group, error)
            except StoreRefusedError as error:
                groups += self._smaller(attempt, group, error)
        return self._failed

    def _smaller(
        self, attempt: int, group: list[Key], error: Exception
    ) -> list[tuple[int, list[Key]]]:
        """Return the groups in which the entities of a failed group are tried again."""
        middle = len(group) // 2
        if middle:
            return [(attempt, group[:middle]), (attempt, group[middle:])]
        if isinstance(error, ConflictError) and attempt < _ATTEMPTS:
            return [(attempt, group)]
        self._failed[group[0]] = error
        return []

    def _change(self, group: list[Key]) -> dict[Key, Exception]:
        """Change entities in a transaction; return what the function raised, by key."""
        failed: dict[Key, Exception] = {}
        # Google's emulator does not commit a transaction that was begun by a read.
        with translated(), _refusals(), self._client.transaction() as transaction:
            for key, (entity, _) in lookup(self._client, group, transaction).items():
                try:
                    # If `put` cannot encode an entity, it leaves half of it in the transaction.
                    transaction._mutations += self._mutations(entity)  # noqa: SLF001
                except Exception as error:  # noqa: BLE001 - whatever the user's code raises
                    failed[key] = error
        return failed

    def _mutations(self, entity: Entity) -> list[Any]:
        from google.cloud.datastore_v1.types import Mutation

        if self._function(entity) is False:
            return []
        return [Mutation.pb()(upsert=entity_message(entity))]


@contextmanager
def _refusals() -> Iterator[None]:
    from google.api_core.exceptions import ResourceExhausted

    try:
        yield
    except ResourceExhausted as error:  # a commit that is too large, of which parts may not be
        raise StoreRefusedError(f"Datastore refused the commit: {error}") from error
