"""Judge the steps of iterations that arrive: one lookup tells what each of them means.

A step claims its shard by writing a lease, and in the end it writes what it did; both only if
nobody else has written since, which the version of the record tells. That is one lookup and two
commits for a step. Only what concerns a run and a shard together, such as a shard's end, is a
transaction.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from adjourn.execution.delivery import Delivery
from adjourn.iteration.run_step import Turn
from adjourn.iteration.runs import Run, Step, key_of
from adjourn.iteration.shard_step import Lane
from adjourn.iteration.shards import Shard, shard_key
from adjourn.iteration.step_context import Means
from adjourn.iteration.verdicts import Verdict, due_behind, due_in, judge
from adjourn.log import event
from adjourn.ports import Versioned
from adjourn.state.transaction_markers import TransactionMarkers, TransactionOutcome


@dataclass(kw_only=True, eq=False, repr=False)
class Iterations:
    """Carries out the steps that arrive."""

    means: Means
    guard: TransactionMarkers

    def step(self, step: Step, delivery: Delivery) -> Verdict:
        """Carry out a delivered step, if it is this delivery's to carry out.

        Raises:
            UnknownNameError: The application has no such iteration; the run is left as it is.
            DecodeError: It cannot read the run's data, such as a class that is not registered.
            StoreError: Datastore failed; what was handled stays counted where that was possible.
            EnqueueError: The next step was not accepted; a repeated delivery enqueues it.
        """
        keys = [key_of(step.run_id)]
        if step.piece is not None:
            keys.append(shard_key(step.run_id, step.piece))
        found = [each for each in self.means.runs.store.read(keys) if each is not None]
        if len(found) < len(keys):
            return Verdict.MISSING
        run = Run.from_record(step.run_id, found[0].record)
        if step.piece is None:
            return self._run_step(step, delivery, run, found[0].version)
        return self._shard_step(step.piece, step, delivery, run, found[1])

    def _run_step(self, step: Step, delivery: Delivery, run: Run, version: int) -> Verdict:
        verdict = judge(run, step, (run.step, run.lease_until), self.means.now())
        if verdict is Verdict.STALE:
            self.means.runs.enqueue(run, due_in(run))
        if verdict is not Verdict.GRANTED:
            return verdict
        if run.markers:
            return self._awaited(run) or self.step(step, delivery)
        turn = Turn(means=self.means, delivery=delivery, run=run, version=version)
        return turn.carry_out()

    def _shard_step(
        self, piece: int, step: Step, delivery: Delivery, run: Run, found: Versioned
    ) -> Verdict:
        shard = Shard.from_record(run.id, piece, found.record)
        verdict = judge(run, step, (shard.step, shard.lease_until), self.means.now())
        if verdict is Verdict.STALE:
            self.means.runs.enqueue(run, due_behind(run, shard))
        if verdict is Verdict.GRANTED and run.markers:
            return self._awaited(run) or self.step(step, delivery)
        lane = Lane(
            means=self.means, delivery=delivery, run=run, shard=shard, version=found.version
        )
        if verdict is Verdict.LEAVE:
            return lane.leave()
        return lane.carry_out() if verdict is Verdict.GRANTED else verdict

    def _awaited(self, run: Run) -> Verdict | None:
        """Return what to do with a guarded run; None once a transaction of it was committed."""
        since = run.marked_at or run.started_at
        fates = {self.guard.outcome_of(marker, since) for marker in run.markers.split()}
        if TransactionOutcome.COMMITTED in fates:
            self.means.runs.change_quietly(run.id, lambda found: found._replace(markers=""))
            return None
        if TransactionOutcome.OPEN in fates:
            return Verdict.OPEN
        event("iteration.rolled_back", logging.INFO, f"{run.iteration}: no commit; it is dropped")
        now = self.means.now()

        def void(found: Run) -> Run:
            is_same = found.markers == run.markers
            return found.voided("Its transaction was not committed.", now) if is_same else found

        self.means.runs.change_quietly(run.id, void)
        return Verdict.OVER
