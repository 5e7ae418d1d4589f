"""The stored state of a run and the changes that it allows: values and decisions, no effects."""

import datetime as dt
import json
from typing import Any, NamedTuple

from adjourn.errors import DecodeError
from adjourn.iteration.status import COMING_TO_REST, LIVE, Status
from adjourn.names import TASK_NAME
from adjourn.ports import Record, RecordKey

KIND = "AdjournRun"
KEPT = dt.timedelta(days=30)

# Properties keep the names under which they were first stored.
_STORED_AS = {"shards": "pieces", "next_shard": "next_piece"}
_READ_AS = {stored: name for name, stored in _STORED_AS.items()}

# A revision without dry runs must not find the class, because it would change the entities; one
# without batches neither, because the batch would not hear of the run's end.
DRY, _IN_BATCH = " (dry run)", "batch:"

_LARGEST_NUMBER = 1 << 62


class Step(NamedTuple):
    """The content of a step's task.

    Attributes:
        shard: Number of the shard; None for a step of the run as a whole.
        number: Of the step within the shard or run.
        epoch: Epoch of the run when the step was enqueued. It is part of the task's name, because
            Cloud Tasks refuses a name for a while after its task is gone.
    """

    run_id: str
    shard: int | None
    number: int
    epoch: int

    def encode(self) -> bytes:
        """Return the task's body."""
        content = {"v": 1, "run": self.run_id, "shard": self.shard}
        return json.dumps({**content, "step": self.number, "epoch": self.epoch}).encode()

    @classmethod
    def decode(cls, body: bytes) -> "Step":
        """Read a task's body.

        Raises:
            DecodeError: It is not the body of a step.
        """
        try:
            content = json.loads(body)
            version, run_id, shard = content["v"], content["run"], content["shard"]
            numbers = [content["step"], content["epoch"], 0 if shard is None else shard]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise DecodeError(f"The body is not a step: {type(error).__name__}.") from error
        are_numbers = all(type(each) is int and 0 <= each <= _LARGEST_NUMBER for each in numbers)
        is_id = isinstance(run_id, str) and TASK_NAME.fullmatch(run_id) is not None
        if version != 1 or not is_id or not are_numbers:
            raise DecodeError("The body is not a step of version 1.")
        return cls(run_id=run_id, shard=shard, number=numbers[0], epoch=numbers[1])

    def task_name(self) -> str:
        """Return the name of the step's task. Cloud Tasks accepts it only once."""
        place = "run" if self.shard is None else f"{self.shard:04}"
        return f"{self.run_id}-{place}-{self.number}-{self.epoch}"


class Run(NamedTuple):
    """One iteration over a query. Each of its shards has a record of its own (`Shard`).

    The steps of a shard form a chain: each one enqueues the next. A shard that is finished hands
    its chain on to the next shard that has not begun.

    Attributes:
        iteration: Registered name of the QueryIter class; for a dry run, followed by `DRY`.
        query: What `QuerySource.describe` returned, encoded.
        custom_data: The user's data with which each shard begins, encoded; in the end, merged.
        context: The context of the start (`adjourn.serialization.context`), encoded.
        markers: Names of the transaction markers with which the run was started, separated by
            spaces. "" if there was no transaction, or once one was committed.
        marked_at: When the last marker was put; only earlier versions count from then.
        waiting_since: When a step first came before a marker was committed.
        total: Entities that the query had when the run began.
        shards: Number of shards.
        next_shard: Number of the first shard that has not begun.
        active: Numbers of the shards that have a chain of steps.
        resting: Numbers of the shards whose chains ended because the run is paused or cancelled.
        has_begun: Whether `on_start` has been called.
        is_void: Whether its start failed or its transaction was not committed.
        epoch: Raised whenever the run's next steps are enqueued under new names.
        step: Number of the next step of the run as a whole.
        tries: How often that step has failed.
        token: Fencing token of that step. Each claim raises it.
        lease_until: Until when its claim is exclusive; None if it is not claimed.
        revivals: How often the run was found without tasks since it last made progress.
        progress: How many steps and entities were done when the run was last revived.
        resumed_at: Since when `rate` is counted.
        resumed_done: How many entities were done by then.
        forgiven: How many were given up by then, which `max_failures` does not count.
        entities_per_second: How many all shards together may handle; None for any number.
    """

    id: str
    iteration: str
    queue: str
    query: bytes
    custom_data: bytes
    context: bytes
    total: int
    shards: int
    started_at: dt.datetime
    updated_at: dt.datetime
    resumed_at: dt.datetime
    resumed_done: int = 0
    forgiven: int = 0
    entities_per_second: float | None = None
    markers: str = ""
    marked_at: dt.datetime | None = None
    waiting_since: dt.datetime | None = None
    status: Status = Status.RUNNING
    next_shard: int = 0
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
    def is_dry(self) -> bool:
        """Whether it is a dry run."""
        return self.iteration.endswith(DRY)

    @property
    def class_name(self) -> str:
        """The registered name of its class."""
        return self.iteration.removesuffix(DRY)

    @property
    def is_child(self) -> bool:
        """Whether it is a child of a batch, whose id is its place there; others have no hyphen."""
        return "-" in self.id

    @property
    def is_live(self) -> bool:
        """Whether the run has a next step."""
        return self.status in LIVE

    @property
    def own_step(self) -> Step:
        """The next step of the run as a whole."""
        return Step(run_id=self.id, shard=None, number=self.step, epoch=self.epoch)

    def shard_step(self, shard: int, number: int = 0) -> Step:
        """Return a step of a shard in the present epoch."""
        return self.own_step._replace(shard=shard, number=number)

    def voided(self, reason: str, now: dt.datetime) -> "Run":
        """Return the run as void. A later start under its name begins anew."""
        ended = self.concluded(Status.CANCELLED, now)
        return ended._replace(is_void=True, error=reason, markers="")

    def joined(self, marker: str, now: dt.datetime) -> "Run":
        """Return the run after another start under its name, with a transaction marker or ""."""
        if not self.markers:
            return self
        markers = f"{self.markers} {marker}" if marker else ""
        return self._replace(markers=markers, marked_at=now, waiting_since=None)

    def shard_rested(self, shard: int) -> "Run":
        """Return the run after a shard's chain ended before all its entities were handled."""
        resting = (*_without(self.resting, shard), shard)
        return self._replace(active=_without(self.active, shard), resting=resting)

    def shard_finished(self, shard: int) -> "tuple[Run, int | None]":
        """Return the run after a shard is done, and the shard to which its chain is handed on."""
        active, resting = _without(self.active, shard), _without(self.resting, shard)
        successor = self.next_shard if self.next_shard < self.shards else None
        if successor is not None and self.status in COMING_TO_REST:
            resting = (*resting, successor)
        elif successor is not None:
            active = (*active, successor)
        is_over = self.status is Status.RUNNING and not active
        run = self._replace(
            status=Status.FINISHING if is_over else self.status,
            next_shard=self.next_shard if successor is None else successor + 1,
            active=active,
            resting=resting,
        )
        return run, successor

    def shard_failed(self, shard: int, error: str) -> "Run":
        """Return the run after something failed for good in a shard. Its position is kept."""
        if self.status is Status.CANCELLING:
            return self.shard_rested(shard)
        return self._replace(status=Status.STOPPED, error=error) if self.is_live else self

    def claimed(self, until: dt.datetime, hook: str) -> "Run":
        """Return the run with a lease for its own step; one that has expired is a failure."""
        run = self._replace(token=self.token + 1, lease_until=until)
        error = f"The process died, ran out of memory or was cut off in {hook}"
        is_first = self.lease_until is None
        return run if is_first else run._replace(tries=self.tries + 1, error=error)

    def stopped(self) -> "Run":
        """Return the run after its own step failed for good."""
        return self._replace(status=Status.STOPPED)

    def begun(self) -> "Run":
        """Return the run after `on_start`: its first shards are active."""
        return self._replace(has_begun=True, active=self.resting, resting=())

    def concluded(self, status: Status, now: dt.datetime) -> "Run":
        """Return the run with a new status, after its own step."""
        ended_at = now if status in {Status.FINISHED, Status.CANCELLED} else None
        run = self._replace(status=status, step=self.step + 1, ended_at=ended_at)
        return run._replace(tries=0, lease_until=None)

    def paused(self) -> "Run | None":
        """Return the run as pausing; None if it cannot be paused."""
        is_possible = self.status in {Status.STARTING, Status.RUNNING, Status.PAUSING}
        return self._replace(status=Status.PAUSING, epoch=self.epoch + 1) if is_possible else None

    def cancelled(self) -> "Run | None":
        """Return the run as cancelling; None if it cannot be cancelled."""
        if self.status in {Status.FINISHING, Status.FINISHED, Status.CANCELLED}:
            return None
        return self._replace(status=Status.CANCELLING, epoch=self.epoch + 1)

    def paced(self, entities_per_second: float | None) -> "Run | None":
        """Return the run at another pace; None if it has ended for good."""
        if self.status in {Status.FINISHED, Status.CANCELLED}:
            return None
        # New steps take the place of those that were put off.
        return self._replace(entities_per_second=entities_per_second, epoch=self.epoch + 1)

    def resumed(self, now: dt.datetime, done: int, errors: int = 0) -> "Run":
        """Return the run going on from where it stands: so many entities are done or given up."""
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
            forgiven=errors,
        )

    def record(self) -> Record:
        """Return what is stored: also `live_since` for queries, `expires_at` for a TTL policy."""
        values: dict[str, Any] = self._asdict()
        del values["id"]
        for name in ("active", "resting"):
            values[name] = " ".join(map(str, values[name]))
        if self.is_child:
            values["iteration"] = f"{_IN_BATCH}{self.iteration}"
        if self.is_live:
            values["live_since"] = self.started_at
        if self.ended_at:
            values["expires_at"] = self.ended_at + KEPT
        values["status"] = self.status.value
        return {_STORED_AS.get(name, name): value for name, value in values.items()}

    @classmethod
    def from_record(cls, run_id: str, record: Record) -> "Run":
        """Read what was stored. Properties that a newer version added are ignored."""
        named = {_READ_AS.get(stored, stored): value for stored, value in record.items()}
        values: dict[str, Any] = {k: v for k, v in named.items() if k in cls._fields}
        for name in ("active", "resting"):
            values[name] = tuple(map(int, values[name].split()))
        run = cls(**{**values, "id": run_id, "status": Status(values["status"])})
        mark = _IN_BATCH if run.is_child else ""
        return run._replace(iteration=run.iteration.removeprefix(mark))


_INDEXED = {"started_at", "status", "iteration"}
UNINDEXED = frozenset(_STORED_AS.get(name, name) for name in Run._fields if name not in _INDEXED)


def run_key(run_id: str) -> RecordKey:
    """Return the key of a run's entity."""
    return RecordKey(KIND, run_id)


def _without(shards: tuple[int, ...], shard: int) -> tuple[int, ...]:
    return tuple(each for each in shards if each != shard)
