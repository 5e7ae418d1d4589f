"""Carry out one step of a shard: claim it, walk, and write down how far it came."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from adjourn.errors import AdjournError, ConflictError, EncodeError
from adjourn.execution.delivery import Delivery
from adjourn.iteration.query_iter import QueryIter
from adjourn.iteration.runs import UNINDEXED as RUN_UNINDEXED
from adjourn.iteration.runs import Run, key_of
from adjourn.iteration.shards import UNINDEXED, Shard, said
from adjourn.iteration.step_context import Means
from adjourn.iteration.verdicts import Verdict, due_behind
from adjourn.iteration.walk import Ending, Walk
from adjourn.log import event
from adjourn.ports import Transaction


@dataclass(kw_only=True, eq=False, repr=False)
class Lane:
    """One delivery of a step of a shard.

    Attributes:
        run: The run, as the delivery found it.
        shard: The shard, as the delivery found it.
        version: Of the shard's record.
    """

    means: Means
    delivery: Delivery
    run: Run
    shard: Shard
    version: int

    def carry_out(self) -> Verdict:
        """Do one step's work; errors are those of `Iterations.step`."""
        cls = self.means.registry.get(self.run.iteration)
        data = self.means.loaded(self.shard.custom_data or self.run.custom_data)
        before = self.means.surroundings.codec.dumps(data)
        claimed = self.shard.claimed(self.means.now(), cls.step_seconds, cls.lease_seconds)
        hooks = cls.over(self.means.surroundings.queries)
        walk = Walk(claimed, data, hooks, self.means.surroundings)
        if not self._write(claimed):
            return Verdict.BUSY
        self.shard = claimed
        try:
            with self.means.around(self.run, self.delivery):
                ending = walk.go()
        except Exception as error:
            self._keep(self._packed(walk, data, before, cls))
            if isinstance(error, AdjournError):
                raise
            # The hooks' own are seen to: it comes of what the application restores around them.
            event("iteration.failed", logging.ERROR, f"A step failed: {said(error)}", error=error)
            return Verdict.FAILED
        return self._conclude(walk, ending, self._packed(walk, data, before, cls))

    def leave(self) -> Verdict:
        """Let the shard rest where it is, since the run is being paused or cancelled."""

        def work(transaction: Transaction) -> Run | None:
            records = transaction.get([key_of(self.run.id), self.shard.key])
            if records[0] is None or records[1] is None:
                return None
            run = Run.from_record(self.run.id, records[0])
            shard = Shard.from_record(run.id, self.shard.piece, records[1])
            if run.epoch == self.run.epoch and shard.piece in run.active:
                run = run.left(shard.piece)
                # The token shuts out whoever had the lease and may still be walking.
                shard = shard._replace(token=shard.token + 1, lease_until=None)
                self._put(transaction, run, shard)
            return run

        run = self.means.runs.store.transact(work)
        if run is not None:
            self.means.runs.enqueue(run, due_behind(run, self.shard))
        return Verdict.LEAVE

    def _packed(
        self, walk: Walk, data: object, before: bytes, cls: type[QueryIter[object]]
    ) -> Shard | EncodeError:
        """Return the shard after the walk with the data that the hooks left, or why it cannot be.

        What cannot be kept makes the whole step undone, as its data are those of the step.
        """
        shard, name = walk.result(), f"{self.shard.name}-{self.shard.token}"
        try:
            after = self.means.surroundings.codec.dumps(data, "custom_data")
            if after == before:
                return shard
            if self.run.pieces > 1 and not cls.overrides("merge"):
                return EncodeError(
                    f"{cls.__name__} changes custom_data, of which each of the {self.run.pieces}"
                    " shards has a copy; define merge(self, first, second) to combine them"
                )
            return shard._replace(custom_data=self.means.baggage.pack(after, name))
        except EncodeError as error:
            return error

    def _conclude(self, walk: Walk, ending: Ending, shard: Shard | EncodeError) -> Verdict:
        if isinstance(shard, EncodeError):
            undone = self.shard._replace(error=said(shard))
            return self._settle(undone.advanced(self.means.now(), in_full=False), Ending.STOP)
        advanced = shard.advanced(self.means.now(), in_full=ending is Ending.TIME)
        if ending in {Ending.END, Ending.STOP}:
            return self._settle(advanced, ending)
        if ending is Ending.WAIT:
            advanced = advanced._replace(due_at=walk.next_due())
        return self._go_on(advanced)

    def _go_on(self, advanced: Shard) -> Verdict:
        if not self._write(advanced):
            return self._fenced()
        due = (self.run.step_of(advanced.piece, advanced.step), advanced.due_at)
        self.means.runs.enqueue(self.run, [due])
        self._discard(advanced)
        return Verdict.GRANTED

    def _keep(self, shard: Shard | EncodeError) -> None:
        """Store what a step did that something kept from its end; the same step goes on."""
        kept = self.shard if isinstance(shard, EncodeError) else shard
        if self._write(kept.released(self.means.now())):
            self._discard(kept)
        else:
            self._fenced()

    def _settle(self, shard: Shard, ending: Ending) -> Verdict:
        """Store the end of the shard or of the run, together with what it means for the other."""

        def work(transaction: Transaction) -> tuple[Run, Shard] | None:
            records = transaction.get([key_of(self.run.id), shard.key])
            if records[0] is None or records[1] is None or records[1]["token"] != shard.token:
                return None
            run, settled = Run.from_record(self.run.id, records[0]), shard
            if ending is Ending.END:
                run, successor = run.passed(shard.piece)
                settled = settled._replace(is_ended=True, successor=successor)
            else:
                run = run.stopped(shard.piece, shard.error)
            self._put(transaction, run, settled)
            return run, settled

        try:
            found = self.means.runs.store.transact(work)
        except ConflictError:  # others keep changing the run; the next step tries it again
            return self._go_on(shard)
        if found is None:
            return self._fenced()
        run, settled = found
        if ending is Ending.STOP:
            event("iteration.stopped", logging.ERROR, settled.error, done=settled.done)
        self.means.runs.enqueue(run, due_behind(run, settled))
        self._discard(settled)
        return Verdict.GRANTED

    def _put(self, transaction: Transaction, run: Run, shard: Shard) -> None:
        run = run._replace(updated_at=self.means.now())
        transaction.put(key_of(run.id), run.record(), unindexed=RUN_UNINDEXED)
        transaction.put(shard.key, shard.record(), unindexed=UNINDEXED)

    def _write(self, shard: Shard) -> bool:
        """Write the shard if nobody else has since; the version is the fencing token."""
        store = self.means.runs.store
        try:
            self.version = store.replace(
                shard.key, shard.record(), version=self.version, unindexed=UNINDEXED
            )
        except ConflictError:
            return False
        return True

    def _fenced(self) -> Verdict:
        event("iteration.fenced", logging.WARNING, "A late step was shut out")
        return Verdict.BUSY

    def _discard(self, shard: Shard) -> None:
        """Remove the data that the step began with, if they lay beside the entity."""
        if shard.custom_data != self.shard.custom_data:
            self.means.baggage.discard(self.shard.custom_data)
