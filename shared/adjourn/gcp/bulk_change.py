"""Change many entities of the application, a group of them in each transaction."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from adjourn.concurrency import ahead
from adjourn.errors import ConflictError, StoreRefusedError
from adjourn.gcp.datastore_api import ContentionRetry, entity_message, lookup, translated

if TYPE_CHECKING:
    from google.cloud.datastore import Client, Entity, Key
    from google.cloud.datastore.transaction import Transaction

# The more entities a transaction has, the likelier is contention; and each takes three calls.
_GROUP = 50
_ATTEMPTS = 8


class _Group(NamedTuple):
    """Entities that are changed together, and how often that was tried in vain."""

    attempt: int
    keys: list[Key]


class _Read(NamedTuple):
    """The entities of a group that exist, and the transaction in which they were read."""

    transaction: Transaction
    entities: list[Entity]


class BulkChange:
    """Reads, changes and writes entities; a group that fails is halved and tried again.

    While a group is committed, the next one is read.

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
        self._groups: deque[_Group] = deque()
        self._next: Callable[[], _Read] | None = None  # the first of the groups, read ahead

    def run(self, keys: Sequence[Key]) -> dict[Key, Exception]:
        """Change the entities that exist; return the error of each one that could not be changed.

        Raises:
            StoreError: Datastore could not be reached; some entities may have been changed.
        """
        distinct = list(dict.fromkeys(keys))
        parts = (distinct[at : at + _GROUP] for at in range(0, len(distinct), _GROUP))
        self._groups += (_Group(0, part) for part in parts)
        try:
            while self._groups:
                self._try(self._groups.popleft())
        finally:
            self._drop_next()
        return self._failed

    def _try(self, group: _Group) -> None:
        self._retry.pause(group.attempt)
        try:
            with translated(), _refusals():
                self._change(group)
        except ConflictError as error:
            self._groups += self._smaller(group._replace(attempt=group.attempt + 1), error)
        except StoreRefusedError as error:
            self._groups += self._smaller(group, error)

    def _smaller(self, group: _Group, error: Exception) -> list[_Group]:
        """Return the groups in which the entities of a failed group are tried again."""
        attempt, keys = group
        middle = len(keys) // 2
        if middle:
            return [_Group(attempt, keys[:middle]), _Group(attempt, keys[middle:])]
        if isinstance(error, ConflictError) and attempt < _ATTEMPTS:
            return [group]
        self._failed[keys[0]] = error
        return []

    def _change(self, group: _Group) -> None:
        """Change the entities of a group in a transaction."""
        read, self._next = self._next or partial(self._read, group), None
        transaction, entities = read()
        with _rolled_back(transaction):
            failed: dict[Key, Exception] = {}
            for entity in entities:
                key = entity.key
                try:
                    # If `put` cannot encode an entity, it leaves half of it in the transaction.
                    transaction._mutations += self._mutations(entity)  # noqa: SLF001
                except Exception as error:  # noqa: BLE001 - whatever the user's code raises
                    failed[key] = error
        self._read_next(group)
        transaction.commit()
        self._failed |= failed

    def _read(self, group: _Group) -> _Read:
        # Google's emulator does not commit a transaction that was begun by a read.
        transaction = self._client.transaction()
        transaction.begin()
        with _rolled_back(transaction):
            found = lookup(self._client, group.keys, transaction)
            return _Read(transaction, [entity for entity, _ in found.values()])

    def _read_next(self, group: _Group) -> None:
        """Begin to read the next group, if that cannot be in the way of the commit of this one."""
        if not self._groups or self._groups[0].attempt:
            return
        upcoming = self._groups[0]
        # Google's emulator locks all that has one ancestor.
        if _ancestors(group.keys).isdisjoint(_ancestors(upcoming.keys)):
            self._next = ahead(partial(self._read, upcoming))

    def _drop_next(self) -> None:
        if self._next:
            with suppress(Exception):  # it expires if it cannot be rolled back
                self._next().transaction.rollback()

    def _mutations(self, entity: Entity) -> list[Any]:
        from google.cloud.datastore_v1.types import Mutation

        if self._function(entity) is False:
            return []
        return [Mutation.pb()(upsert=entity_message(entity))]


def _ancestors(keys: Sequence[Key]) -> set[tuple[Any, ...]]:
    return {key.flat_path[:2] for key in keys}


@contextmanager
def _rolled_back(transaction: Transaction) -> Iterator[None]:
    """Roll a transaction back on an error."""
    try:
        yield
    except BaseException:
        transaction.rollback()
        raise


@contextmanager
def _refusals() -> Iterator[None]:
    from google.api_core.exceptions import ResourceExhausted

    try:
        yield
    except ResourceExhausted as error:  # a commit that is too large, of which parts may not be
        raise StoreRefusedError(f"Datastore refused the commit: {error}") from error
