"""Transactions: a stable view of the store, and what was read in it, to be checked at commit.

A commit is serializable if every read of its transaction, made again now, would give the same
answer: then the whole transaction could as well have run at this moment.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc

from adjourn_local.datastore.messages import MICROS, invalid
from adjourn_local.datastore.past import Past
from adjourn_local.datastore.records import View
from adjourn_local.datastore.store import Store
from adjourn_local.rpc import RpcError

# https://cloud.google.com/datastore/docs/concepts/transactions
_MAX_AGE = 270 * MICROS
_MAX_IDLE = 60 * MICROS
_MARK = b"\x11"
_ID_BYTES = 16

Answer = Callable[[View], bytes]
"""Makes a read again in another view and returns what identifies its answer."""


@dataclass(slots=True)
class Transaction:
    """An open transaction; its view is opened by its first read."""

    id: bytes
    read_only: bool
    begun: int
    used: int
    read_time: int | None = None
    view: View | None = None
    reads: list[tuple[Answer, bytes]] = field(default_factory=list)


class Transactions:
    """The open transactions; like those of a server that is replaced, they end with the process."""

    def __init__(self, store: Store, past: Past, random_source: random.Random) -> None:
        self._store = store
        self._past = past
        self._random = random_source
        self._open: dict[bytes, Transaction] = {}

    def begin(self, options: Any, now: int) -> Transaction:
        """Open a transaction as TransactionOptions say."""
        self.expire(now)
        read_time = None
        if options.HasField("read_only") and options.read_only.HasField("read_time"):
            read_time = self._past.moment(options.read_only.read_time, now)
        number = _MARK + self._random.randbytes(_ID_BYTES - 1)
        transaction = Transaction(number, options.HasField("read_only"), now, now, read_time)
        self._open[number] = transaction
        return transaction

    def get(self, number: bytes, now: int) -> Transaction:
        """Return an open transaction and note that it is in use.

        Raises:
            RpcError: There is none under this id, any more or ever.
        """
        self.expire(now)
        transaction = self._open.get(number)
        if transaction is None:
            _check_form(number)
            raise invalid("The referenced transaction has expired or is no longer valid.")
        transaction.used = now
        return transaction

    def view(self, transaction: Transaction) -> View:
        """Return what a transaction sees: the state at its first read."""
        if transaction.view is None:
            transaction.view = self._store.open_view()
        return transaction.view

    def rollback(self, number: bytes, now: int) -> None:
        """End a transaction without effect; one that has ended already is no error."""
        self.expire(now)
        _check_form(number)
        transaction = self._open.get(number)
        if transaction is not None:
            self.close(transaction)

    def check_reads(self, transaction: Transaction) -> None:
        """Refuse a transaction whose reads would be answered differently now.

        Raises:
            RpcError: ABORTED.
        """
        view = transaction.view
        if view is None or view.version == self._store.version:
            return
        present = self._store.present()
        if any(answer(present) != identity for answer, identity in transaction.reads):
            raise RpcError(
                grpc.StatusCode.ABORTED,
                "Aborted due to cross-transaction contention: what this transaction has read was"
                " changed meanwhile. Run it again.",
            )

    def close(self, transaction: Transaction) -> None:
        """Forget a transaction and give up its view."""
        del self._open[transaction.id]
        if transaction.view is not None:
            self._store.close_view(transaction.view)

    def expire(self, now: int) -> None:
        """Close the transactions that were left open for too long."""
        late = [
            transaction
            for transaction in self._open.values()
            if now - transaction.begun >= _MAX_AGE or now - transaction.used >= _MAX_IDLE
        ]
        for transaction in late:
            self.close(transaction)


def _check_form(number: bytes) -> None:
    if len(number) != _ID_BYTES or not number.startswith(_MARK):
        raise invalid("Invalid transaction.")
