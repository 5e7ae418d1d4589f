"""Check whether a run belongs to a transaction that was committed."""

from __future__ import annotations

import logging

from adjourn.execution.delivery import Outcome
from adjourn.iteration.control import Runs
from adjourn.iteration.runs import Run
from adjourn.log import event
from adjourn.state.transaction_markers import TransactionMarkers, TransactionOutcome


def check_transactions(runs: Runs, markers: TransactionMarkers, run: Run) -> Outcome | None:
    """Return the outcome of a step unless a transaction in which its run was started was committed.

    If all were rolled back, the run is voided.
    """
    now = runs.now()
    # From the first step on, since the clock of who started the run may differ from this one.
    since = run.waiting_since or now
    outcomes = {markers.outcome_of(marker, since) for marker in run.markers.split()}
    if TransactionOutcome.COMMITTED in outcomes:
        runs.update(run.id, lambda found: found._replace(markers=""))
        return None
    if TransactionOutcome.OPEN in outcomes:
        if run.waiting_since is None:
            runs.update(run.id, lambda found: found._replace(waiting_since=now))
        return Outcome.BUSY
    event("iteration.rolled_back", logging.INFO, f"{run.iteration}: no commit; it is dropped")

    def void(found: Run) -> Run:
        is_same = found.markers == run.markers
        return found.voided("Its transaction was not committed.", now) if is_same else found

    updated = runs.update(run.id, void)
    if updated is not None and updated.is_void:
        from adjourn.iteration.list_queries import let_go_of_list  # noqa: PLC0415 - rarely needed

        let_go_of_list(runs.adapters, updated)
    return Outcome.DONE
