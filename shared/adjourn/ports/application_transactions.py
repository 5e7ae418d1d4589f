"""The port for the Datastore transactions of the application, in which calls can be made."""

from __future__ import annotations

from typing import Protocol

from adjourn.ports.entity_store import Record, RecordKey


class ApplicationTransactions(Protocol):
    """What adjourn needs of the transactions of the application."""

    def current(self) -> object | None:
        """Return the transaction that is open in this thread, None if there is none."""

    def get(self, transaction: object, key: RecordKey) -> Record | None:
        """Return a record as a transaction reads it; if it changes meanwhile, the commit fails.

        Raises:
            DeclarationError: It is not a transaction of the settings' project and database.
        """

    def put(self, transaction: object, key: RecordKey, record: Record) -> None:
        """Write a record when a transaction commits.

        Raises:
            DeclarationError: It is not a transaction of the settings' project and database.
        """
