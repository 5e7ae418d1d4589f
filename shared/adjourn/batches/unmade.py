"""Find calls that a child has registered and never enqueued, so that the batch does not wait."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from adjourn.batches.ends import Ends
from adjourn.batches.place import Kind, Place, State, call_id
from adjourn.batches.shards import Shard, shard_key
from adjourn.batches.tree import added_in
from adjourn.log import event
from adjourn.ports import RecordKey
from adjourn.state.call_records import KIND as CALL_RECORDS


@dataclass(kw_only=True, eq=False, repr=False)
class UnmadeCalls:
    """Ends the calls that have no task, of those that children have added.

    A child registers a call before it enqueues it. If it dies in between, and does not add the call
    again when it is retried, there is none.
    """

    ends: Ends

    def drop(self, shard: str, adder: str) -> None:
        """End as cancelled what an ended child, or another one in its shard, has never enqueued.

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
                is_added = child.kind is Kind.ADDED and child.state is State.OPEN
                if is_added and not self._is_there(each, child.key):
                    self._end(Place(each.batch, each.name, child.key.hex()))

    def _end(self, place: Place) -> None:
        if self.ends.end(place, State.CANCELLED) is State.CANCELLED:
            text = f"The call {call_id(place.key)} was registered and never enqueued, or deleted"
            event("batch.child_lost", logging.WARNING, text, batch=place.batch)

    def _is_there(self, shard: Shard, key: bytes) -> bool:
        """Whether a call has a task, or waits for its flow."""
        queue, name = self.ends.adapters.queue, call_id(key)
        if any(queue.fetch(queue.full_name(each, name)) for each in shard.queues.split()):
            return True
        record = self.ends.adapters.store.get([RecordKey(CALL_RECORDS, name)])[0]
        return record is not None and bool(record.get("task") or record.get("parked"))
