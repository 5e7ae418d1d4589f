"""Transactions of ViUR's db module: calls made in them stand and fall with them, unconfigured."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from adjourn.errors import DeclarationError
from adjourn.ports import ApplicationTransactions, Record, RecordKey
from adjourn.settings import Settings
from adjourn.viur import installed

_LINE = "app.configure(datastore=...), with the client whose transaction this is"


@dataclass(frozen=True, eq=False)
class _OlderTransaction:
    """One of ViUR up to 3.7, in which this thread of control is."""

    db: Any


class ViurTransactions:
    """Finds transactions of ViUR's, and leaves all others to the adapter of Google's client.

    From 3.8 on they are those of ViUR's own client of `google.cloud.datastore`. Up to 3.7 ViUR
    speaks to Datastore itself, and what is put in one is put by its `Put`.
    """

    def __init__(self, others: ApplicationTransactions, settings: Settings) -> None:
        self._others = others
        self._settings = settings

    def current(self) -> object | None:
        """Return the transaction in which this thread is.

        Raises:
            DeclarationError: It is in one of ViUR's in which nothing can be put from here.
        """
        return self._others.current() or self._of_viur()

    def _of_viur(self) -> object | None:
        db = installed.database()
        if db is None:
            return None
        older = installed.older_database()
        if older is not None:
            return _OlderTransaction(older) if older.IsInTransaction() else None
        client = getattr(sys.modules.get("viur.core.db.transport"), "__client__", None)
        if client is not None:
            transaction: Any = client.current_transaction
            is_read_only = transaction is not None and "read_only" in transaction._options  # noqa: SLF001
            return None if is_read_only else transaction
        is_open = getattr(db, "is_in_transaction", getattr(db, "IsInTransaction", None))
        if is_open is not None and is_open():
            raise DeclarationError(
                f"A call in a transaction of {db.__name__} cannot be guarded; add {_LINE}."
            )
        return None

    def get(self, transaction: object, key: RecordKey) -> Record | None:
        """Look a record up in a transaction."""
        if not isinstance(transaction, _OlderTransaction):
            return self._others.get(transaction, key)
        db = self._checked(transaction)
        found = db.Get(db.Key(key.kind, key.name))
        return None if found is None else dict(found)

    def put(self, transaction: object, key: RecordKey, record: Record) -> None:
        """Put a record in a transaction, to be written with it."""
        if not isinstance(transaction, _OlderTransaction):
            self._others.put(transaction, key, record)
            return
        db = self._checked(transaction)
        entity = db.Entity(db.Key(key.kind, key.name))
        entity.update(record)
        db.Put(entity)

    def _checked(self, transaction: _OlderTransaction) -> Any:
        project = sys.modules["viur.datastore.types"].projectID
        if (project, "") != (self._settings.project, self._settings.database):
            raise DeclarationError(
                f"ViUR's transaction is in project {project!r} and the default database; the"
                f" settings name {self._settings.project!r} and {self._settings.database!r}."
            )
        return transaction.db
