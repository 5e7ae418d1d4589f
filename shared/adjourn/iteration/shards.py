"""The stored state of a shard: how far it is, and which entities are to be tried again."""

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from adjourn import error_text as failure
from adjourn.ports import Record, RecordKey

KIND = "AdjournShard"
FIRST_SECONDS = 10.0
_MOST_SECONDS = 120.0
_LEAST_SECONDS = 1.0
_SHORTEST_LEASE = dt.timedelta(seconds=60)

MOST_FAILURES = 20
_LONGEST_ERROR = 500

# So many leases that expire one after the other make the shard careful.
_DEATHS_BEFORE_CARE = 3
# So many steps that die with the same entity are no chance.
DEATHS_OF_SUSPECT = 3
# So many of them, or refusals by Datastore, stop the run.
MOST_DEATHS = 10
MOST_REFUSALS = 5
# How many entities are then handled one by one, each with the position saved before it.
_CAREFUL = 1000

_FIRST_WAIT = dt.timedelta(seconds=5)
_LONGEST_WAIT = dt.timedelta(minutes=5)


class RunError(NamedTuple):
    """An entity that failed for good.

    Attributes:
        entry: Its key, as kinds and names or ids separated by slashes.
        message: Type and message of the exception.
    """

    entry: str
    message: str


class Retry(NamedTuple):
    """An entity that failed `failed` times in this round, and when it is tried again."""

    reference: object
    failed: int
    due: dt.datetime


@dataclass(slots=True, eq=False)
class Place:
    """The fields of a shard that change with each entity."""

    cursor: str
    done: int
    singly: int
    careful: int
    missing: int


class Shard(NamedTuple):
    """One of the parts into which the query of a run was split.

    Attributes:
        number: Of the shard within its run, from 0.
        query: Its part of the query, encoded.
        custom_data: The user's data at the beginning of the next step, encoded. Empty while they
            are those of the run.
        step: Number of the next step, which may be under way.
        cursor: Position in the query. The entities after it have not been handled.
        done: Entities handled, including those given up and missing.
        waiting: Entities that failed and are to be tried again.
        retries: These entities (`Retry`), encoded as `CustomData` stores data.
        singly: How many entities from the position on are handled one by one, because the batch
            that they were in failed.
        careful: How many entities from the position on are handled one by one, with the position
            saved before each, because steps died here.
        suspect: The entity that is or was being handled in that way, encoded.
        is_handling: Whether the step that has the lease has come to the suspect.
        suspected: How many steps in a row died while they handled it. After some of them, it goes
            to `handle_error`: a single one may have died for another reason.
        deaths: How many leases in a row expired without progress: the process died, ran out of
            memory or was cut off.
        refusals: How often in a row Datastore refused to read for the shard, without progress.
        errors: Entities given up.
        missing: Entities that were gone when they were to be handled.
        failures: The first of these, as JSON; `failures` reads them.
        tally: What a dry run would do, encoded; see `adjourn.iteration.tally`.
        failed: All of these, encoded; see `adjourn.iteration.failed_entities`.
        error: The last error.
        progressed_at: When it last made progress; None for when it was last updated.
        seconds: How long a step goes on. It adapts to how the last steps ended.
        due_at: Earliest start of the next step; None for at once.
        paced_until: When the next entity may be handled by the pace of the run; None for at once.
        token: Fencing token. Each claim raises it, so that a late delivery cannot write.
        lease_until: Until when the claim is exclusive; None if it is not claimed.
        is_ended: Whether all its entities are done.
        successor: Number of the shard to which its chain of steps was handed on.
        expires_at: When the record may be removed.
    """

    run_id: str
    number: int
    query: bytes
    updated_at: dt.datetime
    custom_data: bytes = b""
    step: int = 0
    cursor: str = ""
    done: int = 0
    waiting: int = 0
    retries: bytes = b"[]"
    singly: int = 0
    careful: int = 0
    suspect: bytes = b""
    is_handling: bool = False
    suspected: int = 0
    deaths: int = 0
    refusals: int = 0
    errors: int = 0
    missing: int = 0
    failures: bytes = b"[]"
    failed: bytes = b""
    tally: bytes = b""
    error: str = ""
    progressed_at: dt.datetime | None = None
    seconds: float = FIRST_SECONDS
    due_at: dt.datetime | None = None
    paced_until: dt.datetime | None = None
    token: int = 0
    lease_until: dt.datetime | None = None
    is_ended: bool = False
    successor: int | None = None
    expires_at: dt.datetime | None = None

    @property
    def key(self) -> RecordKey:
        """The key of its entity."""
        return shard_key(self.run_id, self.number)

    @property
    def name(self) -> str:
        """The name of its entity."""
        return self.key.name

    @property
    def place(self) -> tuple[int, str]:
        """How many entities are done, and the position: what progress changes."""
        return self.done, self.cursor

    def lease(self, lease_seconds: float | None) -> dt.timedelta:
        """Return for how long a claim is exclusive, unless it is renewed."""
        if lease_seconds is not None:
            return dt.timedelta(seconds=lease_seconds)
        # Twice the step's time, because a step ends only between two entities.
        return max(_SHORTEST_LEASE, 2 * dt.timedelta(seconds=self.seconds))

    def claimed(
        self, now: dt.datetime, step_seconds: float | None, lease_seconds: float | None
    ) -> "Shard":
        """Return the shard with a lease and a new fencing token.

        A lease found here has expired: its step died or was cut off. So the next one gets half of
        the time, unless the class says how long it takes, and becomes careful after some of them.
        """
        shard = self._replace(token=self.token + 1, seconds=step_seconds or self.seconds)
        if self.lease_until is None:
            shard = shard._replace(suspect=b"", is_handling=False, suspected=0)
        else:
            shard = _after_death(shard)
            if step_seconds is None:
                shard = shard._replace(seconds=max(_LEAST_SECONDS, shard.seconds / 2))
        return shard._replace(lease_until=now + shard.lease(lease_seconds))

    def progressed(self, now: dt.datetime) -> "Shard":
        """Return the shard after entities were handled."""
        return self._replace(progressed_at=now, updated_at=now, deaths=0, refusals=0)

    def interrupted(
        self, before: "Shard", now: dt.datetime, error: str, *, is_refusal: bool
    ) -> "Shard":
        """Return the shard after a step that could not go on, which is delivered again.

        Args:
            before: The shard before that step.
            now: The present.
            error: Why it could not go on.
            is_refusal: Whether Datastore refused to read for it.
        """
        shard = self
        if self.place != before.place:
            shard = self.progressed(now)
        elif self.progressed_at is None:
            shard = self._replace(progressed_at=self.updated_at)
        refusals = shard.refusals + is_refusal
        return shard.released(now)._replace(error=error, refusals=refusals)

    def renewed(self, now: dt.datetime) -> "Shard":
        """Return the shard before a new step, with nothing noted of failed ones but the error."""
        released = self.progressed(now).released(now)
        return released._replace(step=self.step + 1, careful=0, progressed_at=self.progressed_at)

    def advanced(self, now: dt.datetime, *, in_full: bool) -> "Shard":
        """Return the shard after a step. If that used its time in full, the next one gets more."""
        seconds = min(_MOST_SECONDS, self.seconds * 2) if in_full else self.seconds
        released = self.progressed(now).released(now)
        return released._replace(step=self.step + 1, seconds=seconds)

    def released(self, now: dt.datetime) -> "Shard":
        """Return the shard without a lease."""
        return self._replace(lease_until=None, updated_at=now)

    def record(self) -> Record:
        """Return what is stored."""
        values: dict[str, Any] = self._asdict()
        del values["run_id"], values["number"]
        return values

    @classmethod
    def from_record(cls, run_id: str, number: int, record: Record) -> "Shard":
        """Read what was stored. Properties that a newer version added are ignored."""
        values: dict[str, Any] = {k: v for k, v in record.items() if k in cls._fields}
        return cls(**{**values, "run_id": run_id, "number": number})


# Shards are only looked up by key, and each step would have to write each index.
UNINDEXED = frozenset(Shard._fields)


def _after_death(shard: Shard) -> Shard:
    deaths = shard.deaths + 1
    times = "once" if deaths == 1 else f"{deaths} times in a row"
    return shard._replace(
        deaths=deaths,
        is_handling=False,
        suspected=shard.suspected + shard.is_handling,
        careful=_CAREFUL if deaths == _DEATHS_BEFORE_CARE else shard.careful,
        error=f"A step died or was cut off {times}, with no progress",
    )


def shard_key(run_id: str, number: int) -> RecordKey:
    """Return the key of a shard's entity."""
    return RecordKey(KIND, f"{run_id}-{number:04}")


def failures(encoded: bytes) -> list[RunError]:
    """Read the failures that a shard keeps."""
    return [RunError(entry, message) for entry, message in json.loads(encoded)]


def with_failure(encoded: bytes, failed: RunError) -> bytes:
    """Return the failures that a shard keeps with one more, if there is room."""
    kept = json.loads(encoded)
    if len(kept) >= MOST_FAILURES:
        return encoded
    return json.dumps([*kept, [failed.entry[:_LONGEST_ERROR], failed.message]]).encode()


def error_summary(error: BaseException) -> str:
    """Return type and message of an exception, cut to the length that a shard keeps."""
    return failure.error_line(error, _LONGEST_ERROR)


def retry_delay(failed: int) -> dt.timedelta:
    """Return how long to wait before an entity that failed `failed` times is tried again."""
    return min(_FIRST_WAIT * (1 << min(failed - 1, 10)), _LONGEST_WAIT)


def path_of(reference: object) -> str:
    """Return the key of an entity as text for people."""
    if isinstance(reference, str):  # of a row in a list, followed by where that is
        return reference.partition(" at ")[0]
    key = getattr(reference, "key", None) or reference
    path: Sequence[object] | None = getattr(key, "flat_path", None)
    return "/".join(map(str, path)) if path else repr(key)
