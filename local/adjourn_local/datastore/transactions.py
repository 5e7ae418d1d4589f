"""Transactions: a stable view of the store, and what was read in it, to be checked at commit.

A commit is serializable if every read of its transaction, made again now, would give the same
answer: then the whole transaction could as well have run at this moment.
"""

import asyncio
import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import grpc

from adjourn_local.datastore.entity_records import View
from adjourn_local.datastore.entity_store import EntityStore
from adjourn_local.datastore.history import History
from adjourn_local.datastore.messages import invalid
from adjourn_local.http.rpc import RpcError
from adjourn_local.timing.timestamps import SECOND

# https://cloud.google.com/datastore/docs/concepts/transactions
_MAX_AGE = 270 * SECOND
_MAX_IDLE = 60 * SECOND
_MARK = b"\x11"
_ID_BYTES = 16


class Read(NamedTuple):
    """What a transaction has read: how to read it again, and what identifies the answer.

    `keys` are the stored keys that it looked up; None stands for a query, which may see any.
    """

    keys: frozenset[bytes] | None
    answer: Callable[[View], bytes]
    identity: bytes


@dataclass(slots=True, eq=False)
class Transaction:
    """An open transaction; its view is opened by its first read, which has `seen` that version.

    Of two the one with the lower `turn` is older. One that is tried again keeps its turn.
    """

    id: bytes
    turn: int
    read_only: bool
    begun: int
    used: int
    read_time: int | None = None
    view: View | None = None
    seen: int | None = None
    reads: list[Read] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def is_valid(self, view: View) -> bool:
        """Return whether everything that it has read is the same in a view."""
        return all(read.answer(view) == read.identity for read in self.reads)

    def may_see(self, keys: Iterable[bytes]) -> bool:
        """Return whether it may have read something of entities under these stored keys."""
        return any(read.keys is None or not read.keys.isdisjoint(keys) for read in self.reads)


class Transactions:
    """The open transactions; like those of a server that is replaced, they end with the process."""

    def __init__(self, store: EntityStore, past: History, random_source: random.Random) -> None:
        self._store = store
        self._past = past
        self._random = random_source
        self._open: dict[bytes, Transaction] = {}
        self._aborted: dict[bytes, Transaction] = {}
        self._turns = itertools.count()

    def begin(self, options: Any, now: int) -> Transaction:
        """Open a transaction as TransactionOptions say."""
        self.expire(now)
        read_time = None
        if options.HasField("read_only") and options.read_only.HasField("read_time"):
            read_time = self._past.moment(options.read_only.read_time, now)
        number = _MARK + self._random.randbytes(_ID_BYTES - 1)
        before = self._aborted.get(options.read_write.previous_transaction)
        turn = before.turn if before else next(self._turns)
        transaction = Transaction(number, turn, options.HasField("read_only"), now, now, read_time)
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
            if number in self._aborted:
                raise contention()
            _check_form(number)
            raise invalid("The referenced transaction has expired or is no longer valid.")
        transaction.used = now
        return transaction

    def view(self, transaction: Transaction) -> View:
        """Return what a transaction sees: the state at its first read."""
        if transaction.view is None:
            transaction.view = self._store.open_view()
            transaction.seen = transaction.seen or transaction.view.version
        return transaction.view

    def rollback(self, number: bytes, now: int) -> None:
        """End a transaction without effect; one that has ended already is no error."""
        self.expire(now)
        _check_form(number)
        transaction = self._open.get(number)
        if transaction is not None:
            self.close(transaction)

    def check_reads(self, transaction: Transaction) -> None:
        """Refuse a transaction whose reads would be answered differently now; give up its view.

        Raises:
            RpcError: ABORTED.
        """
        # SQLite cannot empty its log while anybody looks at an older state.
        self._close_view(transaction)
        if transaction.seen in {None, self._store.version}:
            return
        if not transaction.is_valid(self._store.present()):
            raise contention()

    def writing(self) -> Iterator[Transaction]:
        """Yield the open transactions that may still write something."""
        return (one for one in self._open.values() if not one.read_only)

    def abort(self, transaction: Transaction) -> None:
        """End a transaction against its will; whoever goes on with it is told."""
        self.close(transaction)
        self._aborted[transaction.id] = transaction

    def close(self, transaction: Transaction) -> None:
        """Forget a transaction, unless it has ended before, and give up its view."""
        if self._open.pop(transaction.id, None) is None:
            return
        self._close_view(transaction)
        transaction.reads.clear()
        transaction.ended.set()

    def _close_view(self, transaction: Transaction) -> None:
        if transaction.view is not None:
            self._store.close_view(transaction.view)
            transaction.view = None

    def expire(self, now: int) -> None:
        """Close the transactions that were left open for too long."""
        late = [
            transaction
            for transaction in self._open.values()
            if now - transaction.begun >= _MAX_AGE or now - transaction.used >= _MAX_IDLE
        ]
        for transaction in late:
            self.close(transaction)
        while self._aborted and now - next(iter(self._aborted.values())).used >= _MAX_AGE:
            del self._aborted[next(iter(self._aborted))]


def contention() -> RpcError:
    """Return the error of a transaction that was aborted for another one's sake."""
    # https://cloud.google.com/datastore/docs/troubleshooting
    return RpcError(
        grpc.StatusCode.ABORTED,
        "Aborted due to cross-transaction contention. This occurs when multiple transactions"
        " attempt to access the same data, requiring Datastore mode to abort at least one in order"
        " to enforce serializability.",
    )


def _check_form(number: bytes) -> None:
    if len(number) != _ID_BYTES or not number.startswith(_MARK):
        raise invalid("Invalid transaction.")
