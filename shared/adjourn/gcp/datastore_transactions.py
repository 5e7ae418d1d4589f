"""The transactions of the application, in `google.cloud.datastore`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from adjourn.errors import DeclarationError
from adjourn.ports import Record, RecordKey
from adjourn.settings import Settings

if TYPE_CHECKING:
    from google.cloud.datastore import Client, Key
    from google.cloud.datastore.transaction import Transaction


class DatastoreTransactions:
    """Finds the open transaction of the application, and reads and writes our entities in it.

    Args:
        settings: The project and database that our own entities are in.
        client: Returns the application's client, whose open transaction `current` finds; without
            it, a call is given its transaction.
    """

    def __init__(self, settings: Settings, client: Callable[[], Client] | None) -> None:
        self._settings = settings
        self._client = client

    def current(self) -> object | None:
        """Return the transaction that is open in this thread, None if there is none."""
        if self._client is None:
            return None
        transaction = self._client().current_transaction
        # A read-only transaction commits nothing that a call could depend on, and takes no marker.
        is_read_only = transaction is not None and "read_only" in transaction._options  # noqa: SLF001
        return None if is_read_only else transaction

    def get(self, transaction: object, key: RecordKey) -> Record | None:
        """Look up an entity in a transaction."""
        own = self._checked(transaction)
        client: Client = own._client  # noqa: SLF001 - nothing else leads from one to the other
        found = client.get(_key(key, own), transaction=own)
        return None if found is None else dict(found)

    def put(self, transaction: object, key: RecordKey, record: Record) -> None:
        """Write an entity when a transaction commits."""
        from google.cloud.datastore import Entity

        own = self._checked(transaction)
        entity = Entity(_key(key, own))
        entity.update(record)
        try:
            own.put(entity)
        except (RuntimeError, ValueError) as error:
            raise DeclarationError(f"No call can depend on this transaction: {error}") from error

    def _checked(self, transaction: object) -> Transaction:
        from google.cloud.datastore.transaction import Transaction

        if not isinstance(transaction, Transaction):
            raise DeclarationError(f"{transaction!r} is not a Datastore transaction.")
        project, database = transaction.project, transaction.database or ""
        if (project, database) != (self._settings.project, self._settings.database):
            raise DeclarationError(
                f"The transaction is in project {project!r}, database {database!r}; the settings"
                f" name {self._settings.project!r} and {self._settings.database!r}."
            )
        return transaction


def _key(key: RecordKey, transaction: Transaction) -> Key:
    from google.cloud.datastore import Key

    return Key(key.kind, key.name, project=transaction.project, database=transaction.database)
