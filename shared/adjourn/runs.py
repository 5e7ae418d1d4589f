"""The state of one iteration, and who may advance it: values and decisions, no effects."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import Enum, StrEnum, auto
from typing import Any

from adjourn.ports import Record, RecordKey

KIND = "AdjournRun"
UNINDEXED = frozenset({"query", "custom_data", "cursor", "last_error"})


class Status(StrEnum):
    """Where a run stands."""

    RUNNING = "running"
    FINISHING = "finishing"  # every entity was handled, handle_finish is to come
    FINISHED = "finished"
    STOPPED = "stopped"  # handle_error said so; the position is kept


class Verdict(Enum):
    """What a delivered step means for the run."""

    GRANTED = auto()  # this delivery carries the step out
    STALE = auto()  # the run is further; see that its next step is queued
    EARLY = auto()  # the step before has not been concluded
    BUSY = auto()  # another delivery of the step has the lease
    OVER = auto()  # the run has ended
    MISSING = auto()  # there is no such run
    FAILED = auto()  # a hook of the user raised where nothing else could be done


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One iteration.

    Attributes:
        iteration: Registered name of the QueryIter class.
        query: The query, as `QuerySource.describe` told it, encoded.
        custom_data: The user's data as they were when the current step began, encoded.
        step: Number of the step that is to come or is being carried out.
        cursor: Position in the query behind which nothing was handled.
        done: Entities handled.
        total: Entities that the query had when the run began.
        errors: Entities whose `handle_entry` raised.
        token: Fencing token: raised by each claim, so that a late worker cannot write.
        lease_until: Until when the claim is exclusive; None if nobody has it.
    """

    id: str
    iteration: str
    queue: str
    query: bytes
    custom_data: bytes
    total: int
    started_at: dt.datetime
    updated_at: dt.datetime
    status: Status = Status.RUNNING
    step: int = 0
    cursor: str = ""
    done: int = 0
    errors: int = 0
    last_error: str = ""
    token: int = 0
    lease_until: dt.datetime | None = None

    @property
    def is_live(self) -> bool:
        """Whether a further step is to come."""
        return self.status in {Status.RUNNING, Status.FINISHING}

    def leased(self, now: dt.datetime, lease: dt.timedelta) -> "Run":
        """Return the run claimed until `now + lease`, with a fencing token of its own."""
        return replace(self, token=self.token + 1, lease_until=now + lease)

    def record(self) -> Record:
        """Return what is stored."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        del values["id"]
        return {**values, "status": self.status.value}

    @classmethod
    def from_record(cls, run_id: str, record: Record) -> "Run":
        """Read what was stored; properties that a newer version added are ignored."""
        known = {field.name for field in fields(cls)}
        values: Mapping[str, Any] = {k: v for k, v in record.items() if k in known}
        return cls(**{**values, "id": run_id, "status": Status(values["status"])})

    def state(self) -> "RunState":
        """Return what its user wants to know."""
        seconds = (self.updated_at - self.started_at).total_seconds()
        return RunState(
            status=self.status,
            done=self.done,
            total=self.total,
            errors=self.errors,
            last_error=self.last_error,
            rate=self.done / seconds if seconds > 0 else 0.0,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """How a run stands, for people.

    Attributes:
        done: Entities handled.
        total: Entities that the query had when the run began; more or fewer may come.
        rate: Entities handled per second, since the start.
    """

    status: Status
    done: int
    total: int
    errors: int
    last_error: str
    rate: float

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.status in {Status.FINISHED, Status.STOPPED}

    @property
    def time_left(self) -> dt.timedelta | None:
        """How long it will go on at this rate, None while unknown."""
        if self.has_ended:
            return dt.timedelta()
        return (
            dt.timedelta(seconds=max(0, self.total - self.done) / self.rate) if self.rate else None
        )


def key_of(run_id: str) -> RecordKey:
    """Return the key of a run's entity."""
    return RecordKey(KIND, run_id)


def judge(run: Run, step: int, now: dt.datetime) -> Verdict:
    """Decide what the delivery of step number `step` means for a run."""
    if not run.is_live:
        return Verdict.OVER
    if step != run.step:
        return Verdict.STALE if step < run.step else Verdict.EARLY
    if run.lease_until is not None and run.lease_until > now:
        return Verdict.BUSY
    return Verdict.GRANTED
