"""Find what a child has registered and never made, so that the batch does not wait for it."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from adjourn.batches.children import Child
from adjourn.batches.ends import Ends
from adjourn.batches.place import Kind, Place, State, call_id
from adjourn.batches.records import BatchRecord
from adjourn.batches.shards import Shard, shard_key
from adjourn.batches.tree import added_in
from adjourn.iteration.control import Runs
from adjourn.log import event
from adjourn.ports import RecordKey
from adjourn.state.call_records import KIND as CALL_RECORDS


@dataclass(kw_only=True, eq=False, repr=False)
class UnmadeChildren:
    """Ends calls that have no task and runs that have not begun, of those that children have added.

    A child registers what it adds before it makes it. If it dies in between, and does not add the
    same again when it is retried, it is never made. A nested batch is registered when its block has
    ended, so it lacks nothing but its seal, and gets it.
    """

    ends: Ends

    def drop(self, shard: str, adder: str) -> None:
        """End as cancelled what an ended child, or another one in its shard, has never made.

        Args:
            shard: Name of the child's shard.
            adder: The child's key in hexadecimal.

        Raises:
            StoreError: Datastore could not be reached; repeat it.
            EnqueueError: Cloud Tasks could not be reached; repeat it.
        """
        store = self.ends.adapters.store
        own = Shard.of(shard, store.get([shard_key(shard)])[0])
        for each in added_in(store, own, adder) if own else ():
            for child in each.children.each():
                if child.state is State.OPEN and not self._is_there(each, child):
                    self._end(Place(each.batch, each.name, child.key.hex()))

    def _end(self, place: Place) -> None:
        if self.ends.end(place, State.CANCELLED) is State.CANCELLED:
            text = f"The child {call_id(place.key)} was registered and never made, or deleted"
            event("batch.child_lost", logging.WARNING, text, batch=place.batch)

    def _is_there(self, shard: Shard, child: Child) -> bool:
        """Whether a child was made, if a child has added it."""
        place = Place(shard.batch, shard.name, child.key.hex())
        if child.kind is Kind.ADDED:
            return self._is_call_there(shard, child.key)
        if child.kind is Kind.ADDED_RUN:
            run = Runs(adapters=self.ends.adapters).find_run(place.text)
            return run is not None and not run.is_void
        return child.kind is not Kind.ADDED_BATCH or self._is_sealed(place)

    def _is_call_there(self, shard: Shard, key: bytes) -> bool:
        """Whether a call has a task, or waits for its flow."""
        queue, name = self.ends.adapters.queue, call_id(key)
        if any(queue.fetch(queue.full_name(each, name)) for each in shard.queues.split()):
            return True
        record = self.ends.adapters.store.get([RecordKey(CALL_RECORDS, name)])[0]
        return record is not None and bool(record.get("task") or record.get("parked"))

    def _is_sealed(self, place: Place) -> bool:
        """Seal a nested batch; return False if there is none, as when it has no children."""
        now = self.ends.adapters.clock.now()

        def sealed(record: BatchRecord) -> BatchRecord:
            return record if record.parent else record.sealed(now, place.text)

        record = self.ends.settle(place.child, sealed)
        if record is not None:
            self.ends.finish(record)
        return record is not None
