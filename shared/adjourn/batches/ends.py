"""Mark the ends of children, and tell what follows from them.

All of it can be repeated: whoever marks an end that is marked already only makes sure that what
follows has happened. So a delivery that is acknowledged afterwards has left nothing undone.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

from adjourn.batches import callbacks
from adjourn.batches.children import Counts
from adjourn.batches.place import Place, State
from adjourn.batches.records import BatchRecord, batch_key
from adjourn.batches.shards import Shard, shard_key
from adjourn.batches.summary import summary_of
from adjourn.batches.tree import counted
from adjourn.log import event
from adjourn.ports import Adapters, Transaction
from adjourn.state.combining import Combiner


class _Ending(NamedTuple):
    """The end of a child, and whether it still holds when it is marked; None if it always does."""

    key: bytes
    state: State
    holds: Callable[[Transaction], bool] | None = None


@dataclass(kw_only=True, eq=False, repr=False)
class Ends:
    """Marks the ends of children of batches."""

    adapters: Adapters

    def end(self, place: Place, state: State) -> State | None:
        """Mark the end of a child, unless it is marked, and make sure of what follows.

        Several ends in one shard, from several threads, become one commit.

        Args:
            place: Where the child is registered.
            state: Its end.

        Returns:
            Its end: the first one that was marked; None if it is not registered there (any more).

        Raises:
            StoreError: Datastore could not be reached; repeat it.
            ConflictError: The records are being written by others; repeat it.
            EnqueueError: What follows could not be enqueued; repeat it.
        """
        return self._end(place, _Ending(place.key, state))

    def _end(self, place: Place, ending: _Ending) -> State | None:
        shard: Shard | None = self._combined(place.shard, ending)
        marked = shard and shard.children.state_of(place.key)
        if shard is None or marked is None:
            return None
        if marked is State.FAILED:
            self._tell_failure(place)
        self._rise(shard)
        return marked

    def finish(self, record: BatchRecord) -> None:
        """Make sure that the end of a batch has had its effects, if it has ended.

        Errors are those of `end`.
        """
        if record.ended_at is None:
            return
        self._call(record, record.on_done)
        if outer := Place.of(record.parent):

            def holds(transaction: Transaction) -> bool:
                found = BatchRecord.of(record.id, transaction.get([batch_key(record.id)])[0])
                return found == record

            self._end(outer, _Ending(outer.key, record.end, holds))

    def look_after(self, batch: str) -> BatchRecord | None:
        """Make sure that the end of a batch has had its effects, and return its record.

        Errors are those of `end`.
        """
        record = self.settle(batch, lambda found: found)
        if record is not None:
            self.finish(record)
        return record

    def settle(
        self, batch: str, change: Callable[[BatchRecord], BatchRecord]
    ) -> BatchRecord | None:
        """Change the record of a batch, which may end it; return it, None if there is none.

        Raises:
            StoreError: Datastore could not be reached.
            ConflictError: The record is being written by others.
        """

        def work(transaction: Transaction) -> BatchRecord | None:
            before = BatchRecord.of(batch, transaction.get([batch_key(batch)])[0])
            if before is None:
                return None
            after = change(before).settled(self._now())
            if after != before:
                after.put(transaction)
            return after

        return self.adapters.store.transact(work)

    def call_guard(
        self, record: BatchRecord, why: str, after: dt.timedelta, args: tuple[str, ...] = ()
    ) -> None:
        """Have a batch looked after by a task; errors are those of `callbacks.call_guard`."""
        callbacks.call_guard(self.adapters, record, why, self._now() + after, args)

    def _rise(self, shard: Shard) -> None:
        """Tell the end of a shard to its parent, and so on up to the batch."""
        while shard.children.is_over and shard.parent:
            above = self.adapters.store.transact(partial(_marked_above, shard.name))
            if above is None:
                return
            shard = above
        if not shard.children.is_over:
            return
        record = self.adapters.store.transact(partial(_marked_in_batch, shard.name, self._now()))
        if record is not None and record.ended_at is not None:
            text = f"The batch {record.name or record.id} is {record.status}"
            event("batch.ended", logging.INFO, text, batch=record.id)
            self.finish(record)

    def _tell_failure(self, place: Place) -> None:
        """Note the first failure of a batch, and do what it asks for then."""
        record = BatchRecord.of(place.batch, self.adapters.store.get([batch_key(place.batch)])[0])
        if record is not None and not record.failed_by:
            now = self._now()
            record = self.settle(place.batch, lambda found: _failed(found, place.child, now))
        if record is None or record.failed_by != place.child:
            return
        if record.on_failed:
            self._call(record, record.on_failed)
        if record.cancels_rest:
            self.call_guard(record, f"failed {record.round}", dt.timedelta())

    def _call(self, record: BatchRecord, body: bytes) -> None:
        if body:
            what = summary_of(record, *counted(self.adapters.store, record))
            callbacks.enqueue(self.adapters, record, body, what)

    @cached_property
    def _combined(self) -> Combiner[_Ending]:
        return Combiner(self._mark)

    def _mark(self, name: str, endings: Sequence[_Ending]) -> Sequence[Shard | None]:
        def work(transaction: Transaction) -> Shard | None:
            shard = Shard.of(name, transaction.get([shard_key(name)])[0])
            if shard is None:
                return None
            children = shard.children
            for each in endings:
                if each.holds is None or each.holds(transaction):
                    children = children.with_end(each.key, each.state)
            if children is not shard.children:
                shard = shard._replace(children=children)
                shard.put(transaction)
            return shard

        shard = self.adapters.store.transact(work)
        return [shard] * len(endings)

    def _now(self) -> dt.datetime:
        return self.adapters.clock.now()


def _failed(record: BatchRecord, child: str, now: dt.datetime) -> BatchRecord:
    if record.failed_by:
        return record
    cancelled_at = record.cancelled_at or (now if record.cancels_rest else None)
    return record._replace(failed_by=child, cancelled_at=cancelled_at)


def _over(name: str, transaction: Transaction) -> Shard | None:
    """Return a shard whose children all have ended; None if some have not, or it is gone."""
    shard = Shard.of(name, transaction.get([shard_key(name)])[0])
    return shard if shard and shard.children.is_over else None


def _marked_above(name: str, transaction: Transaction) -> Shard | None:
    """Mark a shard in its parent and return that, if the shard still is over."""
    shard = _over(name, transaction)
    if shard is None:
        return None
    above = Shard.of(shard.parent, transaction.get([shard_key(shard.parent)])[0])
    if above is None:
        return None
    children = above.children.with_end(shard.key, State.DONE, shard.children.counts)
    if children is not above.children:
        above = above._replace(children=children)
        above.put(transaction)
    return above


def _marked_in_batch(name: str, now: dt.datetime, transaction: Transaction) -> BatchRecord | None:
    """Mark a shard in its batch and return that, if the shard still is over."""
    shard = _over(name, transaction)
    if shard is None:
        return None
    record = BatchRecord.of(shard.batch, transaction.get([batch_key(shard.batch)])[0])
    if record is None:
        return None
    children = record.children.with_end(shard.key, State.DONE, shard.children.counts)
    after = record._replace(children=children).settled(now)
    if after != record:
        after.put(transaction)
    return after


def reopen(transaction: Transaction, place: Place) -> None:
    """Let a child that has ended run again, and whatever has ended with it, in a transaction."""
    name, key, counts = place.shard, place.key, None
    while name:
        shard = Shard.of(name, transaction.get([shard_key(name)])[0])
        children = shard and shard.children.reopened(key, counts)
        if shard is None or children is None:
            return
        if children is not shard.children:
            shard._replace(children=children).put(transaction)
        if children is shard.children or not shard.children.is_over:
            key = b""  # nothing above has heard of its end
            break
        name, key, counts = shard.parent, shard.key, shard.children.counts
    _reopen_batch(transaction, place.batch, key, counts)


def _reopen_batch(transaction: Transaction, batch: str, key: bytes, counts: Counts | None) -> None:
    record = BatchRecord.of(batch, transaction.get([batch_key(batch)])[0])
    if record is None:
        return
    children = record.children.reopened(key, counts) if key else record.children
    after = record._replace(children=children)
    if children is not record.children or record.is_cancelled:
        after = after.reopened()
    if after != record:
        after.put(transaction)
    outer = Place.of(record.parent)
    if record.ended_at is not None and after.ended_at is None and outer is not None:
        reopen(transaction, outer)
