"""The state of one iteration and who may change it how: values and decisions, no effects."""

from __future__ import annotations

import datetime as dt
import json
from enum import StrEnum
from typing import Any, NamedTuple

from adjourn.errors import DecodeError
from adjourn.ports import Record, RecordKey
from adjourn.tasks.options import is_name

KIND = "AdjournRun"
KEPT = dt.timedelta(days=30)

_MOST = 1 << 62


class Status(StrEnum):
    """Where a run stands."""

    STARTING = "starting"  # on_start is to come
    RUNNING = "running"
    PAUSING = "pausing"  # the steps under way are to come to their ends
    PAUSED = "paused"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    FINISHING = "finishing"  # every entity was handled, handle_finish is to come
    FINISHED = "finished"
    STOPPED = "stopped"  # something failed for good; the position is kept


_LIVE = frozenset(
    {Status.STARTING, Status.RUNNING, Status.PAUSING, Status.CANCELLING, Status.FINISHING}
)
LEAVING = frozenset({Status.PAUSING, Status.CANCELLING})


class Step(NamedTuple):
    """What a step's task carries.

    Attributes:
        piece: Number of the shard; None for what concerns the whole run, such as its end.
        number: Number of the step in that shard.
        epoch: How often the run's steps had been enqueued afresh. It gives them new names, since
            Cloud Tasks refuses a name for a while after its task is gone.
    """

    run_id: str
    piece: int | None
    number: int
    epoch: int

    def encode(self) -> bytes:
        """Return the task's body."""
        told = {"v": 1, "run": self.run_id, "shard": self.piece}
        return json.dumps({**told, "step": self.number, "epoch": self.epoch}).encode()

    @classmethod
    def decode(cls, body: bytes) -> Step:
        """Read a task's body.

        Raises:
            DecodeError: It is not one of ours.
        """
        try:
            told = json.loads(body)
            version, run_id, piece = told["v"], told["run"], told["shard"]
            numbers = [told["step"], told["epoch"], 0 if piece is None else piece]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise DecodeError(f"The body is not a step: {type(error).__name__}.") from error
        are_numbers = all(type(each) is int and 0 <= each <= _MOST for each in numbers)
        if version != 1 or not is_name(run_id) or not are_numbers:
            raise DecodeError("The body is not a step of version 1.")
        return cls(run_id=run_id, piece=piece, number=numbers[0], epoch=numbers[1])

    def task_name(self) -> str:
        """Return the name under which this step is enqueued once and no more."""
        place = "run" if self.piece is None else f"{self.piece:04}"
        return f"{self.run_id}-{place}-{self.number}-{self.epoch}"


class Run(NamedTuple):
    """One iteration; its shards say how far each part of it is (`adjourn.iteration.shards`).

    Attributes:
        iteration: Registered name of the QueryIter class.
        query: The query, as `QuerySource.describe` told it, encoded.
        custom_data: The user's data as each shard begins with them; in the end, as merged.
        context: What the start brought along, encoded; see `adjourn.serialization.context`.
        markers: Names of the markers of the transactions in which the run was started, with blanks
            between; "" once one of them was committed, and if there was none.
        marked_at: When the last of them was put.
        total: Entities that the query had when the run began.
        pieces: Number of shards.
        next_piece: The first shard on which nobody has begun.
        active: The shards with a chain of steps.
        resting: The shards whose chains ended because the run was paused or cancelled.
        has_begun: Whether `on_start` is done with.
        is_void: Whether the run never was to be: its start failed, or its transaction did.
        epoch: Raised whenever the steps that are to come are enqueued afresh.
        step: Number of the step to come of those that concern the whole run.
        tries: How often that step has failed.
        token: Fencing token of that step, raised by each claim.
        lease_until: Until when its claim is exclusive; None if nobody has it.
        revivals: How often the run was found without tasks since it last got on.
        progress: Steps concluded when that was last found.
        resumed_at: Since when `rate` is counted.
        resumed_done: How many entities were done by then.
        ended_at: When it ended.
    """

    id: str
    iteration: str
    queue: str
    query: bytes
    custom_data: bytes
    context: bytes
    total: int
    pieces: int
    started_at: dt.datetime
    updated_at: dt.datetime
    resumed_at: dt.datetime
    resumed_done: int = 0
    markers: str = ""
    marked_at: dt.datetime | None = None
    status: Status = Status.RUNNING
    next_piece: int = 0
    active: tuple[int, ...] = ()
    resting: tuple[int, ...] = ()
    has_begun: bool = True
    is_void: bool = False
    epoch: int = 0
    step: int = 0
    tries: int = 0
    error: str = ""
    token: int = 0
    lease_until: dt.datetime | None = None
    revivals: int = 0
    progress: int = -1
    ended_at: dt.datetime | None = None

    @property
    def is_live(self) -> bool:
        """Whether a further step is to come."""
        return self.status in _LIVE

    @property
    def own_step(self) -> Step:
        """The step to come that concerns the whole run."""
        return Step(run_id=self.id, piece=None, number=self.step, epoch=self.epoch)

    def step_of(self, piece: int, number: int = 0) -> Step:
        """Return a step of a shard, as it is to be enqueued now."""
        return Step(run_id=self.id, piece=piece, number=number, epoch=self.epoch)

    def voided(self, reason: str, now: dt.datetime) -> Run:
        """Return the run as one that never was to be; a later start under its name begins anew."""
        ended = self.concluded(Status.CANCELLED, now)
        return ended._replace(is_void=True, error=reason, markers="")

    def joined(self, marker: str, now: dt.datetime) -> Run:
        """Return the run started once more: in another transaction, or outside of any if ""."""
        if not self.markers:
            return self
        markers = f"{self.markers} {marker}" if marker else ""
        return self._replace(markers=markers, marked_at=now)

    def left(self, piece: int) -> Run:
        """Return the run when a shard's chain has ended before its entities did."""
        return self._replace(
            active=_without(self.active, piece),
            resting=(*_without(self.resting, piece), piece),
        )

    def passed(self, piece: int) -> tuple[Run, int | None]:
        """Return the run when a shard is done with, and the shard that its chain goes on with."""
        active, resting = _without(self.active, piece), _without(self.resting, piece)
        successor = self.next_piece if self.next_piece < self.pieces else None
        if successor is not None and self.status in LEAVING:
            resting = (*resting, successor)
        elif successor is not None:
            active = (*active, successor)
        is_over = self.status is Status.RUNNING and not active
        run = self._replace(
            status=Status.FINISHING if is_over else self.status,
            next_piece=self.next_piece if successor is None else successor + 1,
            active=active,
            resting=resting,
        )
        return run, successor

    def stopped(self, piece: int, error: str) -> Run:
        """Return the run when something failed for good in a shard; its position is kept."""
        if self.status is Status.CANCELLING:
            return self.left(piece)
        return self._replace(status=Status.STOPPED, error=error) if self.is_live else self

    def halted(self) -> Run:
        """Return the run when its own step failed for good."""
        return self._replace(status=Status.STOPPED)

    def begun(self) -> Run:
        """Return the run after `on_start`, with its first shards about to begin."""
        return self._replace(has_begun=True, active=self.resting, resting=())

    def concluded(self, status: Status, now: dt.datetime) -> Run:
        """Return the run after its own step, with a new status."""
        is_end = status in {Status.FINISHED, Status.CANCELLED}
        return self._replace(
            status=status,
            step=self.step + 1,
            tries=0,
            lease_until=None,
            ended_at=now if is_end else None,
        )

    def paused(self) -> Run | None:
        """Return the run with nothing going on any more soon; None if it cannot be paused."""
        if self.status not in {Status.STARTING, Status.RUNNING, Status.PAUSING}:
            return None
        return self._replace(status=Status.PAUSING, epoch=self.epoch + 1)

    def cancelled(self) -> Run | None:
        """Return the run with no entity handled any more soon; None if it cannot be cancelled."""
        if self.status in {Status.FINISHING, Status.FINISHED, Status.CANCELLED}:
            return None
        run = self._replace(status=Status.CANCELLING, epoch=self.epoch + 1)
        if self.is_live:
            return run
        return run._replace(active=(), resting=(*self.active, *self.resting))

    def resumed(self, now: dt.datetime, done: int) -> Run:
        """Return the run going on from where it stands, with `done` entities behind it."""
        active, resting = (*self.active, *self.resting), ()
        status = Status.RUNNING if active else Status.FINISHING
        if not self.has_begun:
            active, resting, status = (), active, Status.STARTING
        return self._replace(
            status=status,
            active=active,
            resting=resting,
            epoch=self.epoch + 1,
            tries=0,
            revivals=0,
            resumed_at=now,
            resumed_done=done,
        )

    def record(self) -> Record:
        """Return what is stored; `live_since` is there for queries, `expires_at` for a TTL."""
        values: dict[str, Any] = self._asdict()
        del values["id"]
        for name in ("active", "resting"):
            values[name] = " ".join(map(str, values[name]))
        if self.is_live:
            values["live_since"] = self.started_at
        if self.ended_at:
            values["expires_at"] = self.ended_at + KEPT
        return {**values, "status": self.status.value}

    @classmethod
    def from_record(cls, run_id: str, record: Record) -> Run:
        """Read what was stored; properties that a newer version added are ignored."""
        values: dict[str, Any] = {k: v for k, v in record.items() if k in cls._fields}
        for name in ("active", "resting"):
            values[name] = tuple(map(int, values[name].split()))
        return cls(**{**values, "id": run_id, "status": Status(values["status"])})


UNINDEXED = frozenset(Run._fields) - {"started_at", "status", "iteration"}


def key_of(run_id: str) -> RecordKey:
    """Return the key of a run's entity."""
    return RecordKey(KIND, run_id)


def _without(pieces: tuple[int, ...], piece: int) -> tuple[int, ...]:
    return tuple(each for each in pieces if each != piece)
