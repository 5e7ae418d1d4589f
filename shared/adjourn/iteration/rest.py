"""Let shards come to rest, because their run is being paused or cancelled."""

from __future__ import annotations

from adjourn.iteration.control import Runs, steps_after
from adjourn.iteration.runs import Run, run_key
from adjourn.iteration.shards import Shard
from adjourn.ports import Transaction


def let_rest(runs: Runs, run: Run, shard: Shard) -> None:
    """End a shard's chain where it stands, because its run is being paused or cancelled."""

    def work(transaction: Transaction) -> Run | None:
        records = transaction.get([run_key(run.id), shard.key])
        if records[0] is None or records[1] is None:
            return None
        found = Run.from_record(run.id, records[0])
        rested = Shard.from_record(run.id, shard.number, records[1])
        if found.epoch == run.epoch and rested.number in found.active:
            found = found.shard_rested(rested.number)
            # The token shuts out a delivery that had the lease and may still be walking.
            rested = rested._replace(token=rested.token + 1, lease_until=None)
            runs.put(transaction, found, rested)
        return found

    found = runs.adapters.store.transact(work)
    if found is not None:
        runs.enqueue(found, steps_after(found, shard))
