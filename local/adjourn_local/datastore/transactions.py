"""Transactions: a stable view of the store, and the reads in it, which the commit checks.

A commit is serializable if repeating every read of its transaction now gives the same result: then
the whole transaction could have run at this time.
"""

import asyncio
import base64
import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import grpc

from adjourn_local.datastore.entity_tables import EntityTables
from adjourn_local.datastore.history import History
from adjourn_local.datastore.messages import invalid
from adjourn_local.datastore.view import View
from adjourn_local.http.connections import CLIENT
from adjourn_local.http.rpc import RpcError
from adjourn_local.timing.timestamps import SECOND

# https://cloud.google.com/datastore/docs/concepts/transactions
_MAX_AGE = 270 * SECOND
_MAX_IDLE = 60 * SECOND
_MARK = b"\x11"
_ID_BYTES = 16


class Read(NamedTuple):
    """A read in a transaction: how to repeat it, and the identity of its result.

    `keys` are the stored keys that were looked up; None for a query, which may see any entity.
    """

    keys: frozenset[bytes] | None
    read_again: Callable[[View], bytes]
    identity: bytes


@dataclass(slots=True, eq=False)
class OpenTransaction:
    """An open transaction; its first read opens its view, whose version is `seen`.

    A lower `start_order` means an older transaction; a retried transaction keeps its own. `client`
    is where its last request came from, and `fate` says why it was aborted.
    """

    id: bytes
    start_order: int
    read_only: bool
    begun: int
    used: int
    read_time: int | None = None
    view: View | None = None
    seen: int | None = None
    reads: list[Read] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    client: str = ""
    fate: str = ""

    @property
    def name(self) -> str:
        """The id as messages show it, in base64 as JSON has it."""
        return base64.b64encode(self.id).decode()

    def describe(self, now: int) -> str:
        """Say which transaction holds a lock, for how long, and for whom."""
        held, silent = ((now - since) / SECOND for since in (self.begun, self.used))
        of = f", of the client at {self.client.partition(':')[2]}" if self.client else ""
        return (
            f"Transaction {self.name}{of}, has read them; it has been open for {held:.1f} s and"
            f" silent for {silent:.1f} s."
        )

    def is_valid(self, view: View) -> bool:
        """Return whether all reads of the transaction give the same result in a view."""
        return all(read.read_again(view) == read.identity for read in self.reads)

    def may_see(self, keys: Iterable[bytes]) -> bool:
        """Return whether the transaction may have read entities with these stored keys."""
        return any(read.keys is None or not read.keys.isdisjoint(keys) for read in self.reads)


class Transactions:
    """The open transactions, which are in memory only.

    Args:
        store: The entities.
        history: Their former versions.
        random_source: Makes ids.
        expire: Whether transactions that are open or idle for too long are closed.
    """

    def __init__(
        self,
        store: EntityTables,
        history: History,
        random_source: random.Random,
        *,
        expire: bool = True,
    ) -> None:
        self._expire = expire
        self._store = store
        self._history = history
        self._random = random_source
        self._open: dict[bytes, OpenTransaction] = {}
        self._aborted: dict[bytes, OpenTransaction] = {}
        self._start_orders = itertools.count()

    def begin(self, options: Any, now: int) -> OpenTransaction:
        """Begin a transaction with TransactionOptions."""
        self.expire(now)
        read_time = None
        if options.HasField("read_only") and options.read_only.HasField("read_time"):
            read_time = self._history.parse_read_time(options.read_only.read_time, now)
        number = _MARK + self._random.randbytes(_ID_BYTES - 1)
        before = self._aborted.get(options.read_write.previous_transaction)
        start_order = before.start_order if before else next(self._start_orders)
        transaction = OpenTransaction(
            number, start_order, options.HasField("read_only"), now, now, read_time
        )
        transaction.client = CLIENT.get()
        self._open[number] = transaction
        return transaction

    def get(self, number: bytes, now: int) -> OpenTransaction:
        """Return an open transaction, and record its use.

        Raises:
            RpcError: No open transaction has this id.
        """
        self.expire(now)
        transaction = self._open.get(number)
        if transaction is None:
            if number in self._aborted:
                raise contention_error(self._aborted[number].fate)
            _check_form(number)
            raise invalid("The referenced transaction has expired or is no longer valid.")
        transaction.used, transaction.client = now, CLIENT.get()
        return transaction

    def view(self, transaction: OpenTransaction) -> View:
        """Return the view of a transaction: the state at its first read."""
        if transaction.view is None:
            transaction.view = self._store.open_view()
            transaction.seen = transaction.seen or transaction.view.version
        return transaction.view

    def rollback(self, number: bytes, now: int) -> None:
        """End a transaction without effect; one that has already ended is ignored."""
        self.expire(now)
        _check_form(number)
        transaction = self._open.get(number)
        if transaction is not None:
            self.close(transaction)

    def check_reads(self, transaction: OpenTransaction) -> None:
        """Check that a transaction's reads still give the same results; close its view.

        Raises:
            RpcError: ABORTED, if a read has become outdated.
        """
        # SQLite cannot truncate its log while a view of an older state is open.
        self._close_view(transaction)
        if transaction.seen in {None, self._store.version}:
            return
        if not transaction.is_valid(self._store.present()):
            raise contention_error()

    def writing(self) -> Iterator[OpenTransaction]:
        """Yield the open transactions that may write."""
        return (one for one in self._open.values() if not one.read_only)

    def abort(self, transaction: OpenTransaction, fate: str = "") -> None:
        """Abort a transaction; its later requests get an error that tells its fate."""
        self.close(transaction)
        transaction.fate = fate
        self._aborted[transaction.id] = transaction

    def close(self, transaction: OpenTransaction) -> None:
        """End a transaction and close its view; one that has already ended is ignored."""
        if self._open.pop(transaction.id, None) is None:
            return
        self._close_view(transaction)
        transaction.reads.clear()
        transaction.ended.set()

    def close_all(self) -> None:
        """End all transactions without effect."""
        for transaction in list(self._open.values()):
            self.close(transaction)

    def _close_view(self, transaction: OpenTransaction) -> None:
        if transaction.view is not None:
            self._store.close_view(transaction.view)
            transaction.view = None

    def expire(self, now: int) -> None:
        """Close the transactions that have been open or idle for too long."""
        late = [
            transaction
            for transaction in self._open.values()
            if self._expire
            and (now - transaction.begun >= _MAX_AGE or now - transaction.used >= _MAX_IDLE)
        ]
        for transaction in late:
            self.close(transaction)
        while self._aborted and now - next(iter(self._aborted.values())).used >= _MAX_AGE:
            del self._aborted[next(iter(self._aborted))]


def contention_error(fate: str = "") -> RpcError:
    """Return the error of a transaction that was aborted because of contention."""
    # https://cloud.google.com/datastore/docs/troubleshooting
    text = (
        "Aborted due to cross-transaction contention. This occurs when multiple transactions"
        " attempt to access the same data, requiring Datastore mode to abort at least one in order"
        " to enforce serializability."
    )
    return RpcError(grpc.StatusCode.ABORTED, f"{text} {fate}".strip())


def _check_form(number: bytes) -> None:
    if len(number) != _ID_BYTES or not number.startswith(_MARK):
        raise invalid("Invalid transaction.")
