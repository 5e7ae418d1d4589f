"""Flow records: one for each key of a flow, and one for the flow as a whole with its settings."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any, NamedTuple

from adjourn.flow.limits import Flow
from adjourn.flow.pages import read_calls
from adjourn.flow.permits import FlowState, Permit
from adjourn.flow.rates import Limit, rate_of
from adjourn.names import CallIdentity, digest_of
from adjourn.ports import Record, RecordKey

KIND = "AdjournFlow"
UNINDEXED = (
    "flow",
    "key",
    "queue",
    "content",
    "limits",
    "concurrency",
    "rate",
    "burst",
    "is_paused",
    "waiting",
    "running",
)
_KEPT = dt.timedelta(days=40)
# A line may let one call begin in a day, or be paused for months.
LONGEST_WAIT = dt.timedelta(days=400)
# What was decided for a key or a flow lasts.
_FOR_EVER = dt.datetime(9000, 1, 1, tzinfo=dt.UTC)
_SECOND = 1_000_000
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class FlowRecord(NamedTuple):
    """The record of a key, or of a flow as a whole, which has no key.

    Attributes:
        flow: Name of the flow.
        key: The key; None for the flow as a whole.
        state: Who runs and who waits.
        queue: Short name of the queue of those who wait.
        concurrency: The limit that was set live; None for the declared one.
        rate: The rate that was set live, such as "10/s"; empty for the declared one.
        burst: Its burst; None for that of the rate.
        is_paused: Whether no call may begin.
        limits: The limits at the latest change, for those who look at it.
    """

    flow: str
    key: str | None
    state: FlowState = FlowState()
    queue: str = ""
    concurrency: int | None = None
    is_paused: bool = False
    limits: str = ""
    rate: str = ""
    burst: int | None = None

    @property
    def name(self) -> str:
        """Name of the record."""
        return record_key(self.flow, self.key).name

    @property
    def is_pinned(self) -> bool:
        """Whether somebody has decided something that lasts."""
        return self.is_paused or self.concurrency is not None or bool(self.rate)

    def limit(self, declared: Flow, whole: FlowRecord) -> Limit:
        """Return what is allowed for this key at present.

        Args:
            declared: The flow as the application declares it.
            whole: The record of the flow as a whole.
        """
        found = (self.concurrency, whole.concurrency, declared.concurrency)
        concurrency = next((each for each in found if each is not None), None)
        by_rate = (self, whole, declared)
        rate, burst = next(((each.rate, each.burst) for each in by_rate if each.rate), ("", None))
        interval = rate_of(rate) if rate else None
        return Limit(
            concurrency,
            is_paused=self.is_paused or whole.is_paused,
            interval=interval and interval.each,
            burst=1 if interval is None else burst or interval.calls,
        )

    def expires_at(self, now: dt.datetime) -> dt.datetime:
        """Return when the record may be removed; it changes once a day, since it is indexed."""
        day = now.replace(hour=0, minute=0, second=0, microsecond=0)
        if self.is_pinned:
            return _FOR_EVER
        return day + (LONGEST_WAIT if self.state.length else _KEPT)

    def record(self, now: dt.datetime) -> Record:
        """Return what is stored."""
        state = self.state
        content = {
            "permits": [_permit(each) for each in state.permits],
            "waiting": state.waiting,
            **({"last": state.last} if state.last else {}),
            "first_page": state.first_page,
            "next_page": state.next_page,
            "guard_at": state.guard_at and _micros(state.guard_at),
        }
        if state.free_at:
            content["free_at"] = _micros(state.free_at)
        if state.planned_at:
            content["planned_at"] = _micros(state.planned_at)
        if state.front:
            content["front"] = state.front
        return {
            "flow": self.flow,
            "key": self.key,
            "queue": self.queue,
            "concurrency": self.concurrency,
            "is_paused": self.is_paused,
            "rate": self.rate,
            "burst": self.burst,
            "limits": self.limits,
            "running": len(state.permits),
            "waiting": state.length,
            "content": json.dumps(content, separators=(",", ":")),
            "expires_at": self.expires_at(now),
        }


def record_key(flow: str, key: str | None) -> RecordKey:
    """Return the key of a flow's record, for one key or for the flow as a whole."""
    return RecordKey(KIND, digest_of(flow) if key is None else digest_of(flow, key))


def read_record(flow: str, key: str | None, record: Record | None) -> FlowRecord:
    """Return the record of a flow; an empty one if there is none."""
    if record is None:
        return FlowRecord(flow, key)
    content: dict[str, Any] = json.loads(str(record["content"]))
    guard_at = content["guard_at"]
    state = FlowState(
        permits=tuple(
            Permit(CallIdentity(call, fingerprint), _time(until), holder, *map(_time, slot))
            for call, fingerprint, until, holder, *slot in content["permits"]
        ),
        waiting=read_calls(content["waiting"]),
        last=read_calls(content.get("last", ())),
        length=_int(record["waiting"]) or 0,
        first_page=content["first_page"],
        next_page=content["next_page"],
        guard_at=None if guard_at is None else _time(guard_at),
        free_at=_time(content["free_at"]) if "free_at" in content else None,
        planned_at=_time(content["planned_at"]) if "planned_at" in content else None,
        front=content.get("front", 0),
    )
    return FlowRecord(
        flow=flow,
        key=key,
        state=state,
        queue=str(record["queue"]),
        concurrency=_int(record["concurrency"]),
        is_paused=bool(record["is_paused"]),
        limits=str(record["limits"]),
        rate=str(record.get("rate", "")),
        burst=_int(record.get("burst")),
    )


def _permit(permit: Permit) -> list[object]:
    slot = [] if permit.slot is None else [_micros(permit.slot)]
    return [*permit.call, _micros(permit.until), permit.holder, *slot]


def _int(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _micros(time: dt.datetime) -> int:
    return (time - _EPOCH) // dt.timedelta(microseconds=1)


def _time(micros: int) -> dt.datetime:
    return _EPOCH + dt.timedelta(microseconds=micros)
