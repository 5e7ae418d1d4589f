"""One step of a shard: claim it, walk over its entities, and record how far it came."""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from adjourn.coroutines import LoopEndedError
from adjourn.errors import AdjournError, ConflictError, EncodeError, StoreRefusedError
from adjourn.execution.delivery import Outcome
from adjourn.iteration.control import Runs, steps_after
from adjourn.iteration.custom_data import CustomData
from adjourn.iteration.heartbeat import Heartbeat
from adjourn.iteration.pace import Pace, hand_on
from adjourn.iteration.query_iter import QueryIter
from adjourn.iteration.runs import Run, run_key
from adjourn.iteration.shards import (
    MOST_DEATHS,
    MOST_REFUSALS,
    UNINDEXED,
    Shard,
    error_summary,
)
from adjourn.iteration.walk import Walk
from adjourn.iteration.walk_end import WalkEnd
from adjourn.log import event
from adjourn.ports import Transaction


@dataclass(kw_only=True, eq=False, repr=False)
class ShardStep:
    """One delivery of a step of a shard.

    Attributes:
        iteration: The user's class.
        context: Restores the context of the run's start while the hooks are called.
        run: The run, as the delivery found it.
        shard: The shard, as the delivery found it; as claimed, afterwards.
        version: Of the shard's record.
        encoded: The data of the shard, encoded as they were stored last.
        saves: How often the position and the data were encoded within the step.
        kept: How many of the entities that were given up within the step are in the shard.
    """

    iteration: type[QueryIter[Any]]
    custom_data: CustomData
    runs: Runs
    context: Callable[[], AbstractContextManager[None]]
    run: Run
    shard: Shard
    version: int
    encoded: bytes = b""
    saves: int = 0
    kept: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)

    def carry_out(self) -> Outcome:
        """Do the work of the step and enqueue the next one; errors are those of `StepReceiver`."""
        cls, adapters, now = self.iteration, self.runs.adapters, self.runs.now()
        data = self.custom_data.load(self.shard.custom_data or self.run.custom_data)
        retries = self.custom_data.load_encoded(self.shard.retries)
        before = self.shard
        self.encoded = self.custom_data.encode(data)
        claimed = before.claimed(now, cls.step_seconds, cls.lease_seconds)
        if not self._write(claimed):
            return Outcome.BUSY
        if claimed.deaths > before.deaths:
            event("iteration.died", logging.WARNING, claimed.error)
        if claimed.deaths >= MOST_DEATHS:
            return self._record_end(claimed.renewed(now), WalkEnd.STOP)
        beat = self._heartbeat(now)
        walk = Walk(
            shard=claimed._replace(retries=retries),
            custom_data=data,
            hooks=cls.over(adapters.queries),
            adapters=adapters,
            codec=self.custom_data.codec,
            most_errors=self._most_errors(),
            should_end=beat.ending.is_set,
            wait=beat.wait,
            save=lambda: self._save(walk, data),
        )
        beat.follow = partial(self._follow, walk)
        self._follow(walk, self.run)
        try:
            with self.context(), self.runs.beating(beat.beat, beat.lease):
                end = walk.go()
        except (Exception, LoopEndedError) as error:  # noqa: BLE001 - ours are raised again
            return self._interrupted(error, self._with_data(walk, data))
        return self._conclude(walk, end, self._with_data(walk, data))

    def _heartbeat(self, began: dt.datetime) -> Heartbeat:
        lease = self.shard.lease(self.iteration.lease_seconds)
        return Heartbeat(
            runs=self.runs,
            run_id=self.run.id,
            status=self.run.status,
            lease=lease,
            until=began + lease,
            began=began,
            renew=self._renew,
        )

    def _follow(self, walk: Walk, run: Run) -> None:
        """Let the walk go at the pace that the run has now."""
        if run.entities_per_second is not None and walk.pace is None:
            walk.pace = Pace(self.runs.adapters.clock, self.shard.paced_until)
        if walk.pace is not None:
            walk.pace.follow(run)

    def _renew(self, until: dt.datetime) -> bool:
        """Write a new end of the lease; False if another delivery has taken over."""
        with self.lock:  # not the shard as it was before a position that is being saved
            return self._write(self.shard._replace(lease_until=until))

    def _most_errors(self) -> int | None:
        """Return how many errors the shard may have, as far as those of the others are recorded."""
        most = self.iteration.max_failures
        if most is None:
            return None
        from adjourn.iteration.failed_entities import most_errors  # noqa: PLC0415 - rarely needed

        others = [each for each in self.runs.shards(self.run) if each.number != self.shard.number]
        return most_errors(most, self.run, others)

    def _save(self, walk: Walk, data: object) -> bool:
        """Record the position before an entity that may end the process; False if it cannot be."""
        stored = self.encoded, self.kept
        is_saved = False
        try:
            is_saved = self._save_position(walk, data)
        finally:
            if not is_saved:  # the next write has to store what this one has not
                self.encoded, self.kept = stored
        return is_saved

    def _save_position(self, walk: Walk, data: object) -> bool:
        shard, now = self._with_data(walk, data), self.runs.now()
        if isinstance(shard, EncodeError):
            return False
        until = now + self.shard.lease(self.iteration.lease_seconds)
        before = self.shard
        if shard.place != before.place:
            shard = shard.progressed(now)
        if not self._write(shard._replace(lease_until=until, updated_at=now)):
            return False
        self._discard_replaced(before)
        return True

    def _with_data(self, walk: Walk, data: object) -> Shard | EncodeError:
        """Return the shard after the walk, with the data that the hooks left.

        Data that cannot be stored undo the whole step, because data and position go together. The
        reason is returned then.
        """
        name = f"{self.shard.name}-{self.shard.token}" + (f"-{self.saves}" if self.saves else "")
        self.saves += 1
        try:
            shard = walk.result()._replace(custom_data=self.shard.custom_data)
            retries = self.custom_data.store(shard.retries, f"{name}-retries")
            shard = shard._replace(retries=retries)
            shard = shard._replace(failed=self._with_failed(walk, f"{name}-failed"))
            if self.run.is_dry:
                return shard._replace(tally=self.iteration.tally.encode())
            after = self.custom_data.encode(data)
            if after == self.encoded:
                return shard
            if self.run.shards > 1 and not self.iteration.overrides("merge"):
                return EncodeError(
                    f"{self.iteration.__name__} changes custom_data, of which each of the"
                    f" {self.run.shards} shards has a copy; define merge(self, first, second) to"
                    " combine them"
                )
            stored = self.custom_data.store(after, name)
        except EncodeError as error:
            return error
        self.encoded = after
        return shard._replace(custom_data=stored)

    def _with_failed(self, walk: Walk, name: str) -> bytes:
        """Return what the shard keeps of all entities that it gave up."""
        new, self.kept = walk.given_up[self.kept :], len(walk.given_up)
        if not new:
            return self.shard.failed
        from adjourn.iteration.failed_entities import with_failed  # noqa: PLC0415 - rarely needed

        return with_failed(self.custom_data, self.shard.failed, new, name)

    def _conclude(self, walk: Walk, end: WalkEnd, shard: Shard | EncodeError) -> Outcome:
        now = self.runs.now()
        if isinstance(shard, EncodeError):
            undone = self.shard._replace(error=error_summary(shard))
            return self._record_end(undone.advanced(now, in_full=False), WalkEnd.STOP)
        advanced = shard.advanced(now, in_full=end is WalkEnd.TIME)
        if end in {WalkEnd.END, WalkEnd.STOP}:
            return self._record_end(advanced, end)
        if end is WalkEnd.WAIT:
            advanced = advanced._replace(due_at=walk.next_due())
        return self._enqueue_next(advanced)

    def _enqueue_next(self, advanced: Shard) -> Outcome:
        """Record the end of the step and enqueue the shard's next one."""
        before = self.shard
        if not self._write(advanced):
            return _shut_out()
        next_step = (self.run.shard_step(advanced.number, advanced.step), advanced.due_at)
        self.runs.enqueue(self.run, [next_step])
        self._discard_replaced(before)
        return Outcome.DONE

    def _interrupted(self, error: BaseException, shard: Shard | EncodeError) -> Outcome:
        """Record what an interrupted step did and why it was. The same step is delivered again."""
        before, now = self.shard, self.runs.now()
        partly = before if isinstance(shard, EncodeError) else shard
        is_refusal = isinstance(error, StoreRefusedError)
        partly = partly.interrupted(before, now, error_summary(error), is_refusal=is_refusal)
        if is_refusal and partly.refusals >= MOST_REFUSALS:
            return self._record_end(partly.renewed(now), WalkEnd.STOP)
        if self._write(partly):
            self._discard_replaced(before)
        else:
            _shut_out()
        if isinstance(error, AdjournError | LoopEndedError):
            raise error
        # The walk catches errors of hooks, so the application failed to restore its context.
        event("iteration.failed", logging.ERROR, f"A step failed: {partly.error}", error=error)
        return Outcome.FAILED

    def _record_end(self, shard: Shard, end: WalkEnd) -> Outcome:
        """Record the end of the shard, or the error that stops the run, in shard and run.

        The shard's step must be a new one: it is enqueued if the end cannot be recorded now.
        """

        def work(transaction: Transaction) -> tuple[Run, Shard] | None:
            records = transaction.get([run_key(self.run.id), shard.key])
            if records[0] is None or records[1] is None or records[1]["token"] != shard.token:
                return None
            run, ended = Run.from_record(self.run.id, records[0]), shard
            if end is WalkEnd.END:
                run, successor = run.shard_finished(shard.number)
                ended = ended._replace(is_ended=True, successor=successor)
                if successor is not None and ended.paced_until is not None:
                    hand_on(transaction, ended, successor)
            else:
                run = run.shard_failed(shard.number, shard.error)
            self.runs.put(transaction, run, ended)
            return run, ended

        try:
            found = self.runs.adapters.store.transact(work)
        except ConflictError:  # others keep changing the run; the next step tries it again
            return self._enqueue_next(shard)
        if found is None:
            return _shut_out()
        run, ended = found
        before, self.shard = self.shard, ended
        if end is WalkEnd.STOP:
            event("iteration.stopped", logging.ERROR, ended.error, done=ended.done)
        self.runs.enqueue(run, steps_after(run, ended))
        self.runs.tell_end(run)
        self._discard_replaced(before)
        return Outcome.DONE

    def _write(self, shard: Shard) -> bool:
        """Write the shard if nobody else has since; its version is the fencing token."""
        store = self.runs.adapters.store
        with self.lock:  # the heartbeat writes in a thread of its own
            try:
                self.version = store.replace(
                    shard.key, shard.record(), version=self.version, unindexed=UNINDEXED
                )
            except ConflictError:
                return False
            self.shard = shard
        return True

    def _discard_replaced(self, before: Shard) -> None:
        """Remove the large payloads of the shard as it was before, which it does not have now."""
        for name in ("custom_data", "retries"):
            if getattr(before, name) != getattr(self.shard, name):
                self.custom_data.discard(getattr(before, name))


def _shut_out() -> Outcome:
    text = "The step outlived its lease and another one took over; its result is dropped"
    event("iteration.fenced", logging.WARNING, text)
    return Outcome.BUSY
