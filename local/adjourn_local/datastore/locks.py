"""Who goes first when a commit would change what an open transaction has read.

Pessimistic, as Datastore mode is by default: a transaction holds on to what it has read. A commit
waits for the older transactions that it would disturb and aborts the younger ones, so that whoever
waits does so for somebody older, and nobody in a circle. Who is delayed and who is aborted the
service does not tell (https://cloud.google.com/datastore/docs/concepts/transactions); this is the
rule of Spanner, on which it runs. Optimistic: whoever commits first wins.
"""

import asyncio
import enum
from collections.abc import Iterator, Sequence

import grpc

from adjourn_local.datastore.entity_records import Change
from adjourn_local.datastore.entity_store import EntityStore
from adjourn_local.datastore.transactions import Transaction, Transactions
from adjourn_local.http.rpc import RpcError
from adjourn_local.timing.clocks import StackClock
from adjourn_local.timing.timestamps import SECOND, micros

# As long as Google's emulator lets a transaction wait; that of the service is not documented.
_PATIENCE = 2 * SECOND


class Concurrency(enum.StrEnum):
    """A database's concurrency mode, named as `gcloud firestore databases` names it."""

    PESSIMISTIC = "pessimistic"
    OPTIMISTIC = "optimistic"


class LockedError(Exception):
    """A commit must wait until an older transaction has ended."""

    def __init__(self, older: Transaction) -> None:
        super().__init__(older)
        self.older = older


class Locks:
    """What the open transactions of a server hold on to."""

    def __init__(
        self, mode: Concurrency, store: EntityStore, transactions: Transactions, clock: StackClock
    ) -> None:
        self._mode = mode
        self._store = store
        self._transactions = transactions
        self._clock = clock

    def are_held(self, own: Transaction | None) -> bool:
        """Return whether any other transaction has read anything, so that a commit may wait."""
        return any(rival.reads for rival in self._rivals(own))

    def break_or_wait(self, changes: Sequence[Change], own: Transaction | None) -> None:
        """Abort the younger transactions that would be disturbed by a commit's changes.

        Args:
            changes: What the commit would write.
            own: The transaction that commits; a commit without one is the youngest of all.

        Raises:
            LockedError: An older one would be disturbed, too; then none is aborted.
        """
        disturbed = self._disturbed(changes, own)
        for rival in disturbed:
            if own is None or rival.turn < own.turn:
                raise LockedError(rival)
        for rival in disturbed:
            self._transactions.abort(rival)

    def _disturbed(self, changes: Sequence[Change], own: Transaction | None) -> list[Transaction]:
        keys = [change.key for change in changes]
        present = self._store.present()
        rivals = [
            rival
            for rival in self._rivals(own)
            # One whose reads hold no longer can only be aborted, so nobody needs to wait for it.
            if rival.may_see(keys) and rival.is_valid(present)
        ]
        if not rivals:
            return []
        with self._store.pretending(changes) as view:
            return [rival for rival in rivals if not rival.is_valid(view)]

    def _rivals(self, own: Transaction | None) -> Iterator[Transaction]:
        if self._mode is Concurrency.PESSIMISTIC:
            yield from (one for one in self._transactions.writing() if one is not own)

    def patience(self) -> int:
        """Return until when, in microseconds since 1970, a commit that begins now will wait."""
        return micros(self._clock.now()) + _PATIENCE

    async def wait(self, older: Transaction, own: Transaction | None, until: int) -> None:
        """Wait until an older transaction has ended, or the own one has been aborted.

        Raises:
            RpcError: ABORTED, neither happens before `until`.
        """
        left = until - micros(self._clock.now())
        if left <= 0:
            # https://cloud.google.com/datastore/docs/troubleshooting
            text = "Too much contention on these datastore entities. Please try again."
            raise RpcError(grpc.StatusCode.ABORTED, text)
        ends = [one.ended.wait() for one in (older, own) if one is not None]
        waiting = [asyncio.ensure_future(one) for one in (self._clock.sleep(left / SECOND), *ends)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()
