"""The state of a run, for people: how far it is, how fast, and what failed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adjourn.iteration.runs import Run
from adjourn.iteration.shards import MOST_FAILURES, RunError, Shard, failures
from adjourn.iteration.status import Status

if TYPE_CHECKING:
    from adjourn.iteration.tally import DryRun

_QUIET = dt.timedelta(minutes=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardState:
    """The state of a shard.

    Attributes:
        status: "waiting" if it has not begun, "running", "resting" while the run is paused, or
            "ended".
        step: Steps concluded.
        done: Entities handled, including those given up.
        errors: Entities given up.
        waiting: Entities that failed and are to be tried again.
        updated_at: When it last made progress.
    """

    status: str
    step: int
    done: int
    errors: int
    waiting: int
    updated_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """The state of a run.

    Attributes:
        iteration: Registered name of the QueryIter class.
        queue: Short name of the queue of its steps.
        done: Entities handled, including those given up and missing.
        total: Entities that the query or list had when the run began. A query may find more or
            fewer.
        errors: Entities given up.
        waiting: Entities that failed and are to be tried again.
        missing: Entities that were gone when they were to be handled: deleted since they were
            listed, or since they failed.
        last_error: Type and message of the last error; empty if there was none.
        entities_per_second: How many entities it handles in a second at most; None for any number.
        failures: The first entities that were given up.
        rate: Entities handled per second, since the start or since the run was last resumed. 0 if
            it makes no progress.
        dry_run: What it would do; None if it is no dry run.
        stalled_since: When it last made progress, if that is more than two minutes ago and no step
            is under way; None otherwise, and for a run that has ended or is paused.
        stalled_because: Why; empty if `stalled_since` is None.
        shards: The state of each shard.
    """

    id: str
    iteration: str
    queue: str
    status: Status
    done: int
    total: int
    errors: int
    waiting: int
    missing: int
    last_error: str
    entities_per_second: float | None
    failures: Sequence[RunError]
    rate: float
    dry_run: DryRun | None
    stalled_since: dt.datetime | None
    stalled_because: str
    started_at: dt.datetime
    updated_at: dt.datetime
    ended_at: dt.datetime | None
    shards: Sequence[ShardState]

    @property
    def has_ended(self) -> bool:
        """Whether it has no next step. A stopped run can still be retried."""
        return self.status in {Status.FINISHED, Status.STOPPED, Status.CANCELLED}

    @property
    def time_left(self) -> dt.timedelta | None:
        """How long it will take to finish at this rate; None while that is unknown."""
        if self.has_ended:
            return dt.timedelta()
        if not self.rate or self.status is Status.PAUSED:
            return None
        return dt.timedelta(seconds=max(0, self.total - self.done) / self.rate)


def state_of(run: Run, shards: Sequence[Shard], now: dt.datetime) -> RunState:
    """Return the state of a run with these shards."""
    done = sum(shard.done for shard in shards)
    updated_at = max([run.updated_at, *(shard.updated_at for shard in shards)])
    seconds = (updated_at - run.resumed_at).total_seconds()
    last = max((shard for shard in shards if shard.error), key=_updated, default=None)
    stalled_since, stalled_because = _standstill(run, shards, now)
    return RunState(
        id=run.id,
        iteration=run.class_name,
        queue=run.queue,
        status=run.status,
        done=done,
        total=run.total,
        errors=sum(shard.errors for shard in shards),
        waiting=sum(shard.waiting for shard in shards),
        missing=sum(shard.missing for shard in shards),
        entities_per_second=run.entities_per_second,
        last_error=run.error or (last.error if last else ""),
        failures=[each for shard in shards for each in failures(shard.failures)][:MOST_FAILURES],
        rate=0.0 if stalled_since or seconds <= 0 else (done - run.resumed_done) / seconds,
        dry_run=_dry_run(run, shards),
        stalled_since=stalled_since,
        stalled_because=stalled_because,
        started_at=run.started_at,
        updated_at=updated_at,
        ended_at=run.ended_at,
        shards=[_shard_state(run, shard) for shard in shards],
    )


def _dry_run(run: Run, shards: Sequence[Shard]) -> DryRun | None:
    if not run.is_dry:
        return None
    from adjourn.iteration.tally import total  # noqa: PLC0415 - rarely needed

    return total(shards)


def _standstill(
    run: Run, shards: Sequence[Shard], now: dt.datetime
) -> tuple[dt.datetime | None, str]:
    """Return since when a run makes no progress, and why; None and "" if it does."""
    active = [shard for shard in shards if shard.number in run.active]
    if not run.is_live:
        return None, ""
    times = [shard.progressed_at or shard.updated_at for shard in shards]
    since = max([run.resumed_at, *times] if active else [run.resumed_at, *times, run.updated_at])
    if now - since <= _QUIET or any(shard.due_at and shard.due_at > now for shard in active):
        return None, ""
    failed = [shard for shard in active if shard.deaths or shard.refusals]
    leases = [shard.lease_until for shard in active if shard not in failed]
    if not active and not run.tries:
        leases = [run.lease_until]
    if any(until is not None and until > now for until in leases):
        return None, ""
    noted = [shard for shard in active if shard.error and shard.updated_at > since]
    told = max(failed or noted, key=_updated, default=None)
    error = told.error if told else "" if active else run.error
    return since, error or f"no step is under way; its tasks may wait in the queue {run.queue}"


def _updated(shard: Shard) -> dt.datetime:
    return shard.updated_at


def _shard_state(run: Run, shard: Shard) -> ShardState:
    status = "waiting"
    if shard.is_ended:
        status = "ended"
    elif shard.number in run.active:
        status = "running" if run.is_live else "resting"
    elif shard.number in run.resting:
        status = "resting"
    return ShardState(
        status=status,
        step=shard.step,
        done=shard.done,
        errors=shard.errors,
        waiting=shard.waiting,
        updated_at=shard.updated_at,
    )
