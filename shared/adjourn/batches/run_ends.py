"""The ends of runs that are children of batches. The id of such a run is its place."""

from __future__ import annotations

from adjourn.batches.ends import Ends, reopen
from adjourn.batches.place import Place, State
from adjourn.ports import Adapters

_ENDS = {"finished": State.DONE, "stopped": State.FAILED, "cancelled": State.CANCELLED}


def tell_end(adapters: Adapters, run: str, status: str) -> None:
    """Mark the end of a run, if it is a child of a batch; errors are those of `Ends.end`."""
    if place := Place.of(run):
        Ends(adapters=adapters).end(place, _ENDS[status])


def reopen_run(adapters: Adapters, run: str) -> None:
    """Let a batch wait for a run again.

    Raises:
        StoreError: Datastore could not be reached; repeat it.
    """
    if place := Place.of(run):
        adapters.store.transact(lambda transaction: reopen(transaction, place))
