"""Carry out the steps that concern a whole run: its start, its end, and its coming to rest."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from adjourn.errors import ConflictError, EncodeError
from adjourn.execution.delivery import Delivery
from adjourn.iteration.query_iter import QueryIter
from adjourn.iteration.runs import KEPT, UNINDEXED, Run, Status, key_of
from adjourn.iteration.shards import UNINDEXED as SHARD_UNINDEXED
from adjourn.iteration.shards import Shard, said
from adjourn.iteration.step_context import Means
from adjourn.iteration.verdicts import Verdict, due_in
from adjourn.log import event

_LEASE = dt.timedelta(seconds=60)
_TRIES = 20  # with the waits of steps, some eight minutes
_AT_ONCE = 16

_NEXT = {
    Status.STARTING: Status.RUNNING,
    Status.FINISHING: Status.FINISHED,
    Status.PAUSING: Status.PAUSED,
    Status.CANCELLING: Status.CANCELLED,
}


@dataclass(kw_only=True, eq=False, repr=False)
class Turn:
    """One delivery of a step that concerns the whole run.

    Attributes:
        run: The run, as the delivery found it.
        version: Of its record.
    """

    means: Means
    delivery: Delivery
    run: Run
    version: int

    def carry_out(self) -> Verdict:
        """Call the hook that it is time for; errors are those of `Iterations.step`."""
        cls = self.means.registry.get(self.run.iteration)
        shards = self.means.runs.shards(self.run)
        first = self.means.loaded(self.run.custom_data)
        changed = [self.means.loaded(each.custom_data) for each in shards if each.custom_data]
        lease = _LEASE
        if cls.lease_seconds is not None:
            lease = dt.timedelta(seconds=cls.lease_seconds)
        until = self.means.now() + lease
        claimed = self.run._replace(token=self.run.token + 1, lease_until=until)
        if not self._write(claimed):
            return Verdict.BUSY
        self.run = claimed
        try:
            with self.means.around(self.run, self.delivery):
                data = self._call(cls(), shards, first, changed)
            kept = self._with_data(data)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever the user's code raises
            if self.run.status in {Status.STARTING, Status.FINISHING}:
                return self._failed(error)
            event("iteration.failed", logging.ERROR, f"The hook failed: {said(error)}", error=error)
            kept = self.run
        return self._conclude(shards, kept)

    def _call(
        self, hooks: QueryIter[Any], shards: Sequence[Shard], first: Any, changed: Sequence[Any]
    ) -> Any:
        """Call the hook; return the data that it left."""
        data = reduce(hooks.merge, changed) if changed else first
        status = self.run.status
        if status is Status.STARTING:
            hooks.on_start(data)
        elif status is Status.FINISHING:
            hooks.handle_finish(sum(each.done for each in shards), data)
        elif status is Status.PAUSING:
            hooks.on_pause(data)
        else:
            hooks.on_cancel(data)
        return data

    def _failed(self, error: BaseException) -> Verdict:
        hook = "on_start" if self.run.status is Status.STARTING else "handle_finish"
        event("iteration.failed", logging.ERROR, f"{hook} failed", error=error)
        tries = self.run.tries + 1
        failed = self.run._replace(tries=tries, error=said(error), lease_until=None)
        if tries < _TRIES:
            self._write(failed)
            return Verdict.FAILED
        text = f"{hook} failed {tries} times; RunHandle.retry tries it again"
        event("iteration.stopped", logging.ERROR, text)
        return Verdict.GRANTED if self._write(failed.halted()) else Verdict.BUSY

    def _conclude(self, shards: Sequence[Shard], kept: Run) -> Verdict:
        now, status = self.means.now(), _NEXT[self.run.status]
        run = kept.concluded(status, now)
        if status is Status.RUNNING:
            run = run.begun()
        elif run.ended_at is not None:
            self._let_expire(shards, now + KEPT)
        if not self._write(run):
            event("iteration.fenced", logging.WARNING, "A late step was shut out")
            return Verdict.BUSY
        self.means.runs.enqueue(run, due_in(run))
        if status is not Status.RUNNING:
            text = f"{run.iteration} is {status}: {sum(each.done for each in shards)} done"
            event(f"iteration.{status}", logging.INFO, text)
        if run.custom_data != self.run.custom_data:
            self.means.baggage.discard(self.run.custom_data)
        if run.ended_at is not None:
            for shard in shards:
                self.means.baggage.discard(shard.custom_data)
        return Verdict.GRANTED

    def _with_data(self, data: Any) -> Run:
        """Return the run with the data as they are now, where they are kept on."""
        if self.run.status in {Status.PAUSING, Status.CANCELLING}:
            return self.run
        try:
            encoded = self.means.surroundings.codec.dumps(data, "custom_data")
            kept = self.means.baggage.pack(encoded, f"{self.run.id}-run-{self.run.token}")
            return self.run._replace(custom_data=kept, error="")
        except EncodeError as error:
            if self.run.status is Status.STARTING:
                raise
            # What has been done cannot be undone any more.
            event("iteration.failed", logging.ERROR, str(error), error=error)
            return self.run._replace(error=said(error))

    def _let_expire(self, shards: Sequence[Shard], at: dt.datetime) -> None:
        records = {each.key: each._replace(expires_at=at).record() for each in shards}
        keys = list(records)
        for start in range(0, len(keys), _AT_ONCE):
            part = {key: records[key] for key in keys[start : start + _AT_ONCE]}
            self.means.runs.store.put_many(part, unindexed=SHARD_UNINDEXED)

    def _write(self, run: Run) -> bool:
        """Write the run if nobody else has since; the version is the fencing token."""
        run = run._replace(updated_at=self.means.now())
        store = self.means.runs.store
        try:
            self.version = store.replace(
                key_of(run.id), run.record(), version=self.version, unindexed=UNINDEXED
            )
        except ConflictError:
            return False
        return True
