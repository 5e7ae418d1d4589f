"""What the delivery of a step means for its run, and what then has to be enqueued."""

from __future__ import annotations

import datetime as dt
from enum import Enum, auto

from adjourn.iteration.runs import LEAVING, Run, Step
from adjourn.iteration.shards import Shard


class Verdict(Enum):
    """What a delivered step means for the run."""

    GRANTED = auto()  # this delivery carries the step out
    LEAVE = auto()  # the run is being paused or cancelled; leave the shard as it is
    STALE = auto()  # the run is further; see that what comes next is queued
    EARLY = auto()  # the step before has not been concluded
    BUSY = auto()  # another delivery of the step has the lease
    OPEN = auto()  # the transaction in which the run was started may still be committed
    OVER = auto()  # nothing more is to be done
    MISSING = auto()  # there is no such run
    FAILED = auto()  # a hook of the user raised where nothing else could be done


Due = tuple[Step, dt.datetime | None]


def due_in(run: Run) -> list[Due]:
    """Return the steps by whose deliveries all of a run goes on that does, with their starts.

    A shard's first step stands for whichever is to come there, as any older one does.
    """
    if not run.is_live:
        return []
    return [(run.step_of(piece), None) for piece in run.active] or [(run.own_step, None)]


def judge(run: Run, step: Step, place: tuple[int, dt.datetime | None], now: dt.datetime) -> Verdict:
    """Decide what the delivery of a step means.

    Args:
        run: The run.
        step: The step that was delivered.
        place: The number of the step to come there, and until when somebody has its lease.
        now: The present.
    """
    number, lease_until = place
    if not run.is_live:
        return Verdict.OVER
    if step.epoch < run.epoch:  # the steps of the new epoch take its place
        return Verdict.STALE
    is_here = not run.active if step.piece is None else step.piece in run.active
    if not is_here or step.number < number:
        return Verdict.STALE
    if step.number > number or step.epoch > run.epoch:
        return Verdict.EARLY
    if lease_until is not None and lease_until > now:
        return Verdict.BUSY
    return Verdict.LEAVE if step.piece is not None and run.status in LEAVING else Verdict.GRANTED


def due_behind(run: Run, shard: Shard) -> list[Due]:
    """Return the steps that come after what was done with a shard, with their starts."""
    if not run.is_live:
        return []
    if shard.piece in run.active:
        return [(run.step_of(shard.piece, shard.step), shard.due_at)]
    if not run.active:
        return [(run.own_step, None)]
    if shard.successor in run.active:
        return [(run.step_of(shard.successor), None)]
    return []
