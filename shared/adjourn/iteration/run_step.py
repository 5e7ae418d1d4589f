"""One step of a run as a whole: its start, its finish, and its coming to rest."""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from adjourn.errors import ConflictError, EncodeError
from adjourn.execution.delivery import Outcome
from adjourn.iteration.control import Runs, first_steps
from adjourn.iteration.custom_data import CustomData
from adjourn.iteration.heartbeat import Heartbeat
from adjourn.iteration.query_iter import QueryIter, answered, complete
from adjourn.iteration.runs import KEPT, UNINDEXED, Run, run_key
from adjourn.iteration.shards import UNINDEXED as SHARD_UNINDEXED
from adjourn.iteration.shards import Shard, error_summary
from adjourn.iteration.status import Status
from adjourn.log import event

_LEASE = dt.timedelta(seconds=60)
_MOST_TRIES = 20  # some eight minutes, with the backoff of steps
_MOST_DEATHS = 3  # of a hook whose failure does not stop the run
_WRITTEN_AT_ONCE = 16

_NEXT_STATUS = {
    Status.STARTING: Status.RUNNING,
    Status.FINISHING: Status.FINISHED,
    Status.PAUSING: Status.PAUSED,
    Status.CANCELLING: Status.CANCELLED,
}

_HOOKS = {
    Status.STARTING: "on_start",
    Status.FINISHING: "handle_finish",
    Status.PAUSING: "on_pause",
    Status.CANCELLING: "on_cancel",
}


@dataclass(kw_only=True, eq=False, repr=False)
class RunStep:
    """One delivery of a step of a run as a whole.

    Attributes:
        iteration: The user's class.
        context: Restores the context of the run's start while the hooks are called.
        run: The run, as the delivery found it; as claimed, afterwards.
        version: Of its record.
    """

    iteration: type[QueryIter[Any]]
    custom_data: CustomData
    runs: Runs
    context: Callable[[], AbstractContextManager[None]]
    run: Run
    version: int
    lock: threading.Lock = field(default_factory=threading.Lock)

    def carry_out(self) -> Outcome:
        """Call the hook that the run's status asks for; errors are those of `StepReceiver`."""
        shards = self.runs.shards(self.run)
        first = self.custom_data.load(self.run.custom_data)
        changed = [self.custom_data.load(each.custom_data) for each in shards if each.custom_data]
        beat = self._heartbeat()
        before = self.run
        if not self._write(before.claimed(beat.until, _HOOKS[before.status])):
            return Outcome.BUSY
        if self.run.tries > before.tries:
            event("iteration.died", logging.WARNING, self.run.error)
        may_stop = before.status in {Status.STARTING, Status.FINISHING}
        if self.run.tries >= (_MOST_TRIES if may_stop else _MOST_DEATHS):
            return self._given_up() if may_stop else self._conclude(shards, self.run)
        try:
            with self.context(), self.runs.beating(beat.beat, beat.lease):
                data = self._call_hook(self.iteration(), shards, first, changed)
            run = self._with_data(data)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever the user's code raises
            if may_stop:
                return self._failed(error)
            text = f"The hook failed: {error_summary(error)}"
            event("iteration.failed", logging.ERROR, text, error=error)
            run = self.run
        return self._conclude(shards, run)

    def _call_hook(
        self, hooks: QueryIter[Any], shards: Sequence[Shard], first: Any, changed: Sequence[Any]
    ) -> Any:
        """Call the hook and return the data that it left.

        Args:
            hooks: An instance of the user's class.
            shards: The shards of the run.
            first: The data with which the shards began.
            changed: The data of each shard that changed them.
        """
        data = first
        if changed:
            data = reduce(lambda one, other: answered(hooks.merge(one, other)), changed)
        status = self.run.status
        result: object
        if status is Status.STARTING:
            result = hooks.on_start(data)
        elif status is Status.FINISHING:
            result = hooks.handle_finish(sum(each.done for each in shards), data)
        elif status is Status.PAUSING:
            result = hooks.on_pause(data)
        else:
            result = hooks.on_cancel(data)
        complete(result)
        return data

    def _heartbeat(self) -> Heartbeat:
        now, lease = self.runs.now(), _LEASE
        if self.iteration.lease_seconds is not None:
            lease = dt.timedelta(seconds=self.iteration.lease_seconds)
        return Heartbeat(
            runs=self.runs,
            run_id=self.run.id,
            status=self.run.status,
            lease=lease,
            until=now + lease,
            began=now,
            renew=self._renew,
        )

    def _renew(self, until: dt.datetime | None) -> bool:
        """Write a new end of the lease; False if another delivery has taken over.

        Somebody may have paused or cancelled the run meanwhile. The lease holds all the same.
        """
        if self._write(self.run._replace(lease_until=until)):
            return True
        token = self.run.token

        def renew(found: Run) -> Run | None:
            # What was written may be there although that seemed to fail.
            is_to_do = found.token == token and found.lease_until != until
            return found._replace(lease_until=until) if is_to_do else None

        return self.runs.update(self.run.id, renew) is not None

    def _failed(self, error: BaseException) -> Outcome:
        """Record that the hook failed; stop the run if it has failed too often."""
        hook = _HOOKS[self.run.status]
        event("iteration.failed", logging.ERROR, f"{hook} failed", error=error)
        tries = self.run.tries + 1
        failed = self.run._replace(tries=tries, error=error_summary(error), lease_until=None)
        if tries >= _MOST_TRIES:
            self.run = failed
            return self._given_up()
        if not self._write(failed):  # it was paused or cancelled meanwhile
            self._renew(None)
        return Outcome.FAILED

    def _given_up(self) -> Outcome:
        """Stop the run, because its hook failed too often."""
        hook, tries = _HOOKS[self.run.status], self.run.tries
        text = f"{hook} failed {tries} times; RunHandle.retry tries it again"
        event("iteration.stopped", logging.ERROR, text)
        stopped = self.run.stopped()._replace(lease_until=None)
        if not self._write(stopped):
            return Outcome.BUSY
        self.runs.tell_end(stopped)
        return Outcome.DONE

    def _conclude(self, shards: Sequence[Shard], run: Run) -> Outcome:
        """Record the end of the step and enqueue what follows."""
        now, status = self.runs.now(), _NEXT_STATUS[self.run.status]
        run = run.concluded(status, now)
        if status is Status.RUNNING:
            run = run.begun()
        elif run.ended_at is not None:
            self._let_expire(shards, now + KEPT)
        before = self.run
        if not self._write(run):
            return self._shut_out()
        self.runs.enqueue(run, first_steps(run))
        self.runs.tell_end(run)
        if status is not Status.RUNNING:
            done, given_up = sum(each.done for each in shards), sum(each.errors for each in shards)
            text = f"{run.iteration} is {status}: {done} done, {given_up} of them given up"
            event(f"iteration.{status}", logging.INFO, text)
        if run.custom_data != before.custom_data:
            self.custom_data.discard(before.custom_data)
        if run.ended_at is not None:
            for shard in shards:
                self.custom_data.discard(shard.custom_data)
                self.custom_data.discard(shard.retries)
            self._let_go_of_list(shards)
        return Outcome.DONE

    def _let_go_of_list(self, shards: Sequence[Shard]) -> None:
        """Delete the list of a run that has ended, once nobody can rerun what failed of it."""
        from adjourn.iteration.list_queries import let_go_of_list  # noqa: PLC0415 - rarely needed

        after = KEPT if any(shard.errors for shard in shards) else dt.timedelta()
        let_go_of_list(self.runs.adapters, self.run, after)

    def _shut_out(self) -> Outcome:
        """Drop the result of the hook, because the run was changed meanwhile."""
        text = "The step outlived its lease and another one took over; its result is dropped"
        if self._renew(None):
            text = "The run was paused or cancelled meanwhile; the result of its hook is dropped"
        event("iteration.fenced", logging.WARNING, text)
        return Outcome.BUSY

    def _with_data(self, data: Any) -> Run:
        """Return the run with the data that the hook left, if it keeps them."""
        if self.run.status in {Status.PAUSING, Status.CANCELLING}:
            return self.run
        try:
            encoded = self.custom_data.encode(data)
            stored = self.custom_data.store(encoded, f"{self.run.id}-run-{self.run.token}")
            return self.run._replace(custom_data=stored, error="")
        except EncodeError as error:
            if self.run.status is Status.STARTING:
                raise
            # handle_finish has had its effect, so the run is finished all the same.
            event("iteration.failed", logging.ERROR, str(error), error=error)
            return self.run._replace(error=error_summary(error))

    def _let_expire(self, shards: Sequence[Shard], at: dt.datetime) -> None:
        records = {each.key: each._replace(expires_at=at).record() for each in shards}
        keys = list(records)
        for start in range(0, len(keys), _WRITTEN_AT_ONCE):
            part = {key: records[key] for key in keys[start : start + _WRITTEN_AT_ONCE]}
            self.runs.adapters.store.put_many(part, unindexed=SHARD_UNINDEXED)

    def _write(self, run: Run) -> bool:
        """Write the run if nobody else has since; its version is the fencing token."""
        store = self.runs.adapters.store
        with self.lock:  # the heartbeat writes in a thread of its own
            run = run._replace(updated_at=self.runs.now())
            try:
                self.version = store.replace(
                    run_key(run.id), run.record(), version=self.version, unindexed=UNINDEXED
                )
            except ConflictError:
                return False
            self.run = run
        return True
