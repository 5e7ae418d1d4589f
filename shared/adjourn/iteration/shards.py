"""The state of one part of an iteration: how far it is, and what is to be tried again."""

from __future__ import annotations

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
_FIRST_WAIT = dt.timedelta(seconds=5)
_LONGEST_WAIT = dt.timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class RunError:
    """An entity that failed for good.

    Attributes:
        entry: Its key, as kinds and names or ids with slashes between.
        message: Type and message of the exception.
    """

    entry: str
    message: str


class Shard(NamedTuple):
    """One part of a run.

    Attributes:
        query: Its part of the query, encoded.
        custom_data: The user's data as they were when the step to come begins, encoded; empty
            while they are those of the run.
        step: Number of the step that is to come or is being carried out.
        cursor: Position in the query behind which nothing was handled.
        done: Entities handled, those given up included.
        waiting: Entities that failed and are to be tried again.
        retries: These, encoded.
        singly: How many entities from the position on are handled one by one, since the batch that
            they were in failed.
        errors: Entities given up.
        failures: The first of them, as `encoded` makes it.
        error: The last error.
        seconds: How long a step goes on, as it has proved itself.
        due_at: Earliest start of the step to come; None for at once.
        token: Fencing token: raised by each claim, so that a late worker cannot write.
        lease_until: Until when the claim is exclusive; None if nobody has it.
        is_ended: Whether every entity of it is done with.
        successor: The shard that its chain went on with.
        expires_at: When it may be removed.
    """

    run_id: str
    piece: int
    query: bytes
    updated_at: dt.datetime
    custom_data: bytes = b""
    step: int = 0
    cursor: str = ""
    done: int = 0
    waiting: int = 0
    retries: bytes = b"[]"
    singly: int = 0
    errors: int = 0
    failures: bytes = b"[]"
    error: str = ""
    seconds: float = FIRST_SECONDS
    due_at: dt.datetime | None = None
    token: int = 0
    lease_until: dt.datetime | None = None
    is_ended: bool = False
    successor: int | None = None
    expires_at: dt.datetime | None = None

    @property
    def key(self) -> RecordKey:
        """The key of its entity."""
        return shard_key(self.run_id, self.piece)

    @property
    def name(self) -> str:
        """The name of its entity."""
        return self.key.name

    def claimed(
        self, now: dt.datetime, step_seconds: float | None, lease_seconds: float | None
    ) -> Shard:
        """Return the shard with a lease and a fencing token of its own.

        A lease that was found is over: who had it died or was too slow, so the next one who cannot
        tell dares half of the time.
        """
        seconds = step_seconds or self.seconds
        if step_seconds is None and self.lease_until is not None:
            seconds = max(_LEAST_SECONDS, seconds / 2)
        # Twice the budget, since a step ends only between two entities.
        lease = max(_SHORTEST_LEASE, 2 * dt.timedelta(seconds=seconds))
        if lease_seconds is not None:
            lease = dt.timedelta(seconds=lease_seconds)
        return self._replace(token=self.token + 1, seconds=seconds, lease_until=now + lease)

    def advanced(self, now: dt.datetime, *, in_full: bool) -> Shard:
        """Return the shard after a step, which used its time in full or not."""
        seconds = min(_MOST_SECONDS, self.seconds * 2) if in_full else self.seconds
        return self.released(now)._replace(step=self.step + 1, seconds=seconds)

    def released(self, now: dt.datetime) -> Shard:
        """Return the shard without a lease."""
        return self._replace(lease_until=None, updated_at=now)

    def record(self) -> Record:
        """Return what is stored."""
        values: dict[str, Any] = self._asdict()
        del values["run_id"], values["piece"]
        return values

    @classmethod
    def from_record(cls, run_id: str, piece: int, record: Record) -> Shard:
        """Read what was stored; properties that a newer version added are ignored."""
        values: dict[str, Any] = {k: v for k, v in record.items() if k in cls._fields}
        return cls(**{**values, "run_id": run_id, "piece": piece})


# Nobody asks for shards but by their keys, and each index would be written with each step.
UNINDEXED = frozenset(Shard._fields)


def shard_key(run_id: str, piece: int) -> RecordKey:
    """Return the key of a shard's entity."""
    return RecordKey(KIND, f"{run_id}-{piece:04}")


def failures(encoded: bytes) -> list[RunError]:
    """Read the errors that a shard keeps."""
    return [RunError(entry, message) for entry, message in json.loads(encoded)]


def with_failure(encoded: bytes, failed: RunError) -> bytes:
    """Return the errors that a shard keeps with one more, if there is room."""
    kept = json.loads(encoded)
    if len(kept) >= MOST_FAILURES:
        return encoded
    return json.dumps([*kept, [failed.entry[:_LONGEST_ERROR], failed.message]]).encode()


def said(error: BaseException) -> str:
    """Return type and message of an exception, cut to what a shard keeps."""
    return failure.said(error, _LONGEST_ERROR)


def pause_after(failed: int) -> dt.timedelta:
    """Return how long an entity waits that has failed so often."""
    return min(_FIRST_WAIT * (1 << min(failed - 1, 10)), _LONGEST_WAIT)


def path_of(reference: object) -> str:
    """Return what a person knows an entity by."""
    key = getattr(reference, "key", None) or reference
    path: Sequence[object] | None = getattr(key, "flat_path", None)
    return "/".join(map(str, path)) if path else repr(key)
