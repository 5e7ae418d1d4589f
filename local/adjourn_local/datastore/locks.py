"""Concurrency control: conflicts of a commit with what open transactions have read.

Pessimistic, the default of Datastore mode: a transaction locks what it reads. A commit waits for
the older transactions whose reads it would change, and aborts the younger ones. A transaction waits
only for older ones, so there is no deadlock. Which transaction waits and which is aborted is not
documented (https://cloud.google.com/datastore/docs/concepts/transactions); this is the rule of
Spanner, on which the service runs. Optimistic: the first commit wins.
"""

import asyncio
import enum
from collections.abc import Callable, Iterator, Sequence

import grpc

from adjourn_local.datastore.entity_records import Change
from adjourn_local.datastore.entity_tables import EntityTables
from adjourn_local.datastore.transactions import OpenTransaction, Transactions
from adjourn_local.http import connections
from adjourn_local.http.rpc import RpcError
from adjourn_local.timing.clocks import StackClock
from adjourn_local.timing.timestamps import SECOND, micros

# The limit of Google's emulator; that of the service is not documented.
_LONGEST_WAIT = 2 * SECOND
# How long a transaction may be silent before its client is looked for.
_SILENCE = SECOND // 4


class Concurrency(enum.StrEnum):
    """A database's concurrency mode, named as `gcloud firestore databases` names it."""

    PESSIMISTIC = "pessimistic"
    OPTIMISTIC = "optimistic"


class LockedError(Exception):
    """A commit must wait until an older transaction has ended."""

    def __init__(self, older: OpenTransaction) -> None:
        super().__init__(older)
        self.older = older


class Locks:
    """The read locks of the open transactions."""

    def __init__(
        self,
        mode: Concurrency,
        store: EntityTables,
        transactions: Transactions,
        clock: StackClock,
        is_gone: Callable[[str], bool] = connections.is_gone,
    ) -> None:
        self._is_gone = is_gone
        self._mode = mode
        self._store = store
        self._transactions = transactions
        self._clock = clock

    def are_held(self, own: OpenTransaction | None) -> bool:
        """Return whether another transaction has read anything: a commit may have to wait."""
        return any(rival.reads for rival in self._rivals(own))

    def abort_younger(self, changes: Sequence[Change], own: OpenTransaction | None) -> None:
        """Abort the younger transactions whose reads a commit would change.

        Args:
            changes: The changes of the commit.
            own: The transaction that commits; a commit without one counts as the youngest.

        Raises:
            LockedError: The reads of an older transaction would change, too; none was aborted.
        """
        conflicting = self._conflicting(changes, own)
        for rival in conflicting:
            if own is None or rival.start_order < own.start_order:
                raise LockedError(rival)
        by = "a write without transaction" if own is None else f"transaction {own.name}"
        for rival in conflicting:
            self._transactions.abort(rival, f"It was aborted by {by}, which was there before it.")

    def _conflicting(
        self, changes: Sequence[Change], own: OpenTransaction | None
    ) -> list[OpenTransaction]:
        keys = [change.key for change in changes]
        present = self._store.present()
        rivals = [
            rival
            for rival in self._rivals(own)
            # A transaction with outdated reads will be aborted; no need to wait for it.
            if rival.may_see(keys) and rival.is_valid(present)
        ]
        if not rivals:
            return []
        with self._store.preview(changes) as view:
            return [rival for rival in rivals if not rival.is_valid(view)]

    def _rivals(self, own: OpenTransaction | None) -> Iterator[OpenTransaction]:
        if self._mode is Concurrency.PESSIMISTIC:
            yield from (one for one in self._transactions.writing() if one is not own)

    def wait_limit(self) -> int:
        """Return the time, in microseconds since 1970, until which a commit may wait from now."""
        return micros(self._clock.now()) + _LONGEST_WAIT

    async def wait(self, older: OpenTransaction, own: OpenTransaction | None, until: int) -> None:
        """Wait a moment for an older transaction to end, or for the own one to be aborted.

        An older transaction whose client has gone is ended.

        Raises:
            RpcError: ABORTED, if `until` has passed.
        """
        now = micros(self._clock.now())
        if now - older.used >= _SILENCE and self._is_gone(older.client):
            self._transactions.close(older)
            return
        if until <= now:
            # https://cloud.google.com/datastore/docs/troubleshooting
            text = "Too much contention on these datastore entities. Please try again."
            raise RpcError(grpc.StatusCode.ABORTED, f"{text} {older.describe(now)}")
        pause = min(until - now, _SILENCE) / SECOND
        ends = [one.ended.wait() for one in (older, own) if one is not None]
        waiting = [asyncio.ensure_future(one) for one in (self._clock.sleep(pause), *ends)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()
