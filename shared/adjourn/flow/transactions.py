"""The transactions on the records of flows: several pieces of work in one, and what follows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from adjourn.errors import ConflictError, DecodeError, EnqueueError, StoreError
from adjourn.flow.guard import call_guard
from adjourn.flow.records import UNINDEXED, record_key
from adjourn.flow.remembered import (
    NotedTransaction,
    NotRememberedError,
    Remembered,
    RememberedTransaction,
)
from adjourn.flow.session import Session
from adjourn.flow.visits import Entrance, Entry, Place
from adjourn.flow.waiting_calls import WaitingCalls
from adjourn.log import event
from adjourn.names import CallIdentity
from adjourn.ports import Adapters, Transaction
from adjourn.state.combining import Combiner


class Work(NamedTuple):
    """What is to be done in a transaction.

    Attributes:
        do: Does it.
        call: The call whose record it needs; None for none.
        is_end: Whether it only takes back the permits of a call that has not waited.
    """

    do: Callable[[Session], Any]
    call: CallIdentity | None = None
    is_end: bool = False


@dataclass(kw_only=True, eq=False, repr=False)
class FlowTransactions:
    """Does the work that several threads have on the same keys in one transaction.

    Attributes:
        adapters: The services.
        waiting: The calls that wait.
        queue: Short name of the queue of guards, where a record names none.
    """

    adapters: Adapters
    waiting: WaitingCalls
    queue: str
    _remembered: dict[tuple[Place, ...], Remembered] = field(default_factory=dict, init=False)

    def __call__(self, places: tuple[Place, ...], work: Work) -> Any:
        """Do work on the records of some keys, and return its result.

        Raises:
            StoreError: Datastore could not be reached.
            ConflictError: The records are being written by others.
            EnqueueError: A guard could not be called.
        """
        return self._combined(places, work)

    @cached_property
    def _combined(self) -> Combiner[Work]:
        return Combiner(self._transact)

    def _transact(self, places: tuple[Place, ...], works: Sequence[Work]) -> Sequence[Any]:
        known = self._remembered.pop(places, None)
        if known is not None and all(each.is_end for each in works):
            ended = self._end_known(known, places, works)
            if ended is not None:
                return ended

        def work(transaction: Transaction) -> tuple[NotedTransaction, Session, Sequence[Any]]:
            noted = NotedTransaction(transaction)
            return noted, *self._done(noted, places, works)

        noted, session, results = self.adapters.store.transact(work)
        self._remember(noted, places, results)
        self._follow_up(session)
        return results

    def _done(
        self, transaction: Transaction, places: tuple[Place, ...], works: Sequence[Work]
    ) -> tuple[Session, Sequence[Any]]:
        """Do work in a transaction."""
        calls = list(dict.fromkeys(each.call for each in works if each.call))
        now = self.adapters.clock.now()
        session = Session(transaction, places, calls, now, self.waiting.is_expired)
        results = [each.do(session) for each in works]
        session.finish()
        return session, results

    def _follow_up(self, session: Session) -> None:
        """Create the tasks of those who are called, and call guards."""
        try:
            for call, record in session.called.items():
                self.waiting.create_task(record, session.turns.get(call))
        except (EnqueueError, StoreError, DecodeError) as error:
            tell_trouble(error)  # the guard tries it again
        for number in session.guards:
            line = session.records[number]
            call_guard(
                self.adapters,
                line.flow,
                line.key or "",
                queue=line.queue or self.queue,
                at=line.state.guard_at,
            )

    def _remember(
        self, noted: NotedTransaction, places: tuple[Place, ...], results: Sequence[Any]
    ) -> None:
        """Remember a key in which a call has begun, until the next one begins or ends there."""
        key = record_key(places[0].name, places[0].key)
        begins = any(
            isinstance(each, Entrance) and each.entry is Entry.RUNS and each.is_held
            for each in results
        )
        if begins and len(places) == 1 and key in noted.written:
            self._remembered[places] = Remembered(noted.records, noted.written[key])

    def _end_known(
        self, known: Remembered, places: tuple[Place, ...], works: Sequence[Work]
    ) -> Sequence[Any] | None:
        """Take permits back by one write; return None if more is to be done, or it has changed.

        What applies to the flow as a whole is that of the beginning: it matters only for those who
        wait.
        """
        key = record_key(places[0].name, places[0].key)
        transaction = RememberedTransaction(known)
        try:
            session, results = self._done(transaction, places, works)
        except NotRememberedError:
            return None
        if session.called or session.guards or transaction.puts.keys() != {key}:
            return None
        try:
            self.adapters.store.replace(
                key, transaction.puts[key], version=known.version, unindexed=UNINDEXED
            )
        except ConflictError:
            return None
        return results


def tell_trouble(error: Exception) -> None:
    """Log that a service is out of reach, where what has happened stands."""
    event("service.unavailable", logging.WARNING, str(error), error=error)
