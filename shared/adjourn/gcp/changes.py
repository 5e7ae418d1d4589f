"""Change many entities of users, a group of them in each transaction."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from adjourn.errors import ConflictError, StoreError
from adjourn.gcp.connection import lookup, translated
from adjourn.gcp.contention import Contention

if TYPE_CHECKING:
    from google.cloud.datastore import Client, Entity, Key

# A transaction meets others the more often, the more entities it has, and each takes three calls.
_GROUP = 50
_ATTEMPTS = 8


class BulkChange:
    """Reads, changes and writes entities; groups that meet others fall apart and come again.

    Args:
        client: The client.
        function: Changes an entity in place; it stays as it is if False is returned.
        contention: Pauses before a group comes again.
    """

    def __init__(
        self,
        client: Client,
        function: Callable[[Any], object],
        contention: Contention,
    ) -> None:
        self._client = client
        self._function = function
        self._contended = contention
        self._failed: dict[Key, Exception] = {}

    def run(self, keys: Sequence[Key]) -> dict[Key, Exception]:
        """Change the entities that are there; return what kept the others from being changed.

        Raises:
            StoreError: Datastore could not be reached; some may have been changed.
        """
        distinct = list(dict.fromkeys(keys))
        groups = deque((0, distinct[at : at + _GROUP]) for at in range(0, len(distinct), _GROUP))
        while groups:
            attempt, group = groups.popleft()
            self._contended.pause(attempt)
            try:
                self._failed |= self._change(group)
            except ConflictError as error:
                groups += self._again(attempt + 1, group, error)
            except _RefusedError as error:
                groups += self._again(attempt, group, error)
        return self._failed

    def _again(
        self, attempt: int, group: list[Key], error: Exception
    ) -> list[tuple[int, list[Key]]]:
        """Return the smaller groups in which the entities of one are tried again."""
        middle = len(group) // 2
        if middle:
            return [(attempt, group[:middle]), (attempt, group[middle:])]
        if isinstance(error, ConflictError) and attempt < _ATTEMPTS:
            return [(attempt, group)]
        self._failed[group[0]] = error
        return []

    def _change(self, group: list[Key]) -> dict[Key, Exception]:
        """Change entities in a transaction; return what the function raised."""
        failed: dict[Key, Exception] = {}
        # Google's emulator does not commit a transaction that a read has begun.
        with translated(), _refusals(), self._client.transaction() as transaction:
            for key, (entity, _) in lookup(self._client, group, transaction).items():
                try:
                    # A put that cannot encode an entity would leave half of it in the transaction.
                    transaction._mutations += self._mutations(entity)  # noqa: SLF001
                except Exception as error:  # noqa: BLE001 - whatever the user's code raises
                    failed[key] = error
        return failed

    def _mutations(self, entity: Entity) -> list[Any]:
        from google.cloud.datastore.helpers import entity_to_protobuf
        from google.cloud.datastore_v1.types import Mutation

        if self._function(entity) is False:
            return []
        return [Mutation(upsert=entity_to_protobuf(entity))]


class _RefusedError(StoreError):
    """A commit cannot be done as it is, such as one with too much or a value that is too long."""


@contextmanager
def _refusals() -> Iterator[None]:
    from google.api_core import exceptions as google

    try:
        yield
    except (google.InvalidArgument, google.FailedPrecondition, google.ResourceExhausted) as error:
        raise _RefusedError(f"Datastore refused it: {error}") from error
