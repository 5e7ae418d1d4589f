"""Serve Commit: check the request, wait for older transactions, then write."""

from typing import Any

import grpc

from adjourn_local.datastore.locks import LockedError, Locks
from adjourn_local.datastore.messages import CommitRequest, invalid
from adjourn_local.datastore.mutations import MutationWriter, OutdatedError
from adjourn_local.datastore.transactions import OpenTransaction, Transactions
from adjourn_local.http.rpc import RpcError
from adjourn_local.timing.clocks import StackClock
from adjourn_local.timing.timestamps import micros

# https://cloud.google.com/datastore/docs/concepts/limits
_MAX_REQUEST = 10 << 20


class Commits:
    """Serves the method Commit."""

    def __init__(
        self, writer: MutationWriter, transactions: Transactions, locks: Locks, clock: StackClock
    ) -> None:
        self._writer = writer
        self._transactions = transactions
        self._locks = locks
        self._clock = clock

    async def commit(self, request: Any) -> Any:
        """Apply a CommitRequest, all of it or nothing.

        Raises:
            RpcError: The request is invalid, or was aborted because of contention.
        """
        if request.ByteSize() > _MAX_REQUEST:
            raise invalid(f"The request is bigger than {_MAX_REQUEST} bytes.")
        self._transactions.expire(self._now())
        selector = request.WhichOneof("transaction_selector")
        if request.mode == CommitRequest.NON_TRANSACTIONAL:
            if selector is not None:
                raise invalid("non-transaction commit cannot specify a transaction")
        elif selector is None:
            raise invalid("transactional commit requires a transaction")
        elif selector == "transaction":
            return await self._commit_transaction(request)
        elif request.single_use_transaction.HasField("read_only"):
            raise invalid("Cannot modify entities in a read-only transaction.")
        return await self._apply(request, None)

    async def _commit_transaction(self, request: Any) -> Any:
        transaction = self._transactions.get(request.transaction, self._now())
        if transaction.read_only and request.mutations:
            raise invalid("Cannot modify entities in a read-only transaction.")
        try:
            return await self._apply(request, transaction)
        except RpcError as error:
            if error.code is grpc.StatusCode.ABORTED:
                self._transactions.abort(transaction)
            raise
        finally:
            self._transactions.close(transaction)

    async def _apply(self, request: Any, own: OpenTransaction | None) -> Any:
        """Apply a commit once no older transaction has read what it changes."""
        until = self._locks.wait_limit()
        while True:
            if own is not None:
                self._transactions.check_reads(self._transactions.get(own.id, self._now()))
            try:
                return self._writer.commit(
                    _copied(request) if self._locks.are_held(own) else request,
                    self._now(),
                    lambda changes: self._locks.abort_younger(changes, own),
                )
            except OutdatedError:
                continue
            except LockedError as locked:
                await self._locks.wait(locked.older, own, until)
                self._transactions.expire(self._now())

    def _now(self) -> int:
        return micros(self._clock.now())


def _copied(request: Any) -> Any:
    """Return a copy to commit: the original is needed again if the commit has to wait."""
    copy = CommitRequest()
    copy.CopyFrom(request)
    return copy
