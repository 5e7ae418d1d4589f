"""What is stored of a schedule: what it calls, when, and how far it has come."""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal, NamedTuple

from adjourn.cron.due import PeriodicState, note, record_of, state_of
from adjourn.cron.forecast import found_from, next_slot
from adjourn.cron.schedule import NEVER
from adjourn.execution.current_task import Call
from adjourn.ports import EntityStore, Record, RecordKey, Transaction
from adjourn.schedules.schedule_timing import ScheduleTiming

KIND = "AdjournSchedule"
# One that is due no more can be looked at for so long.
KEPT = dt.timedelta(days=30)

Status = Literal["active", "paused", "ended"]

_DUE = "due_"
_SECONDS = ("interval", "grace")


class StoredSchedule(NamedTuple):
    """A schedule, as it is stored.

    Attributes:
        name: Its name, which the application gave.
        calls: Registered name of the task that it calls.
        content: The arguments and options of its calls; see `ScheduledCalls`.
        given: When it is due.
        state: How far it has come.
        is_paused: Whether it is due no more until it is resumed.
        put_at: When it was put as it is.
        last_due: The due time of its last run; None before the first.
    """

    name: str
    calls: str
    content: bytes
    given: ScheduleTiming
    state: PeriodicState
    is_paused: bool
    put_at: dt.datetime
    last_due: dt.datetime | None = None

    @property
    def definition(self) -> tuple[object, ...]:
        """What the application has put."""
        return self.calls, self.content, self.given

    @property
    def next_due(self) -> dt.datetime | None:
        """When it is due next, unless it is paused; None if never."""
        slot = next_slot(self.given.timing(), self.state)
        is_claimed = not self.state.is_enqueued
        is_within = slot != NEVER and slot <= (self.given.until or NEVER)
        return slot if is_claimed or is_within else None

    @property
    def status(self) -> Status:
        """Whether it is due some time, paused or over."""
        if self.next_due is None:
            return "ended"
        return "paused" if self.is_paused else "active"

    def restarted(self, now: dt.datetime) -> StoredSchedule:
        """Return it with the times up to now left out, unless a slot is claimed."""
        if not self.state.is_enqueued:
            return self
        state = self.state._replace(slot=max(now, self.state.slot), timing=self.given.timing().text)
        return self._replace(state=state)

    def resumed(self, now: dt.datetime) -> StoredSchedule:
        """Return it without its pause: the times of a schedule that passed meanwhile are left out.

        An interval is counted from its last slot.
        """
        timing = self.given.timing()
        going_on = self if isinstance(timing.when, dt.timedelta) else self.restarted(now)
        return going_on._replace(is_paused=False)

    def record(self, before: Record | None = None) -> Record:
        """Return the record of it.

        Args:
            before: Its former record, whose unknown fields are kept: a later version wrote them.
        """
        kept = {
            k: v for k, v in (before or {}).items() if not k.startswith(_DUE) and k != "expires_at"
        }
        given: dict[str, Any] = self.given._asdict()
        for name in _SECONDS:
            given[name] = given[name] and given[name].total_seconds()
        fields = {"calls": self.calls, "content": self.content, "is_paused": self.is_paused}
        times = {"put_at": self.put_at, "last_due": self.last_due}
        record = {**kept, **given, **fields, **times, **record_of(self.state)}
        due = self.next_due
        if due is None:
            return {**record, "expires_at": max(self.state.slot, self.put_at) + KEPT}
        if self.is_paused:
            return record
        found = found_from(self.given.timing(), due)
        return {**record, due_property(self.given.cron_name): found}

    @classmethod
    def of(cls, name: str, record: Record) -> StoredSchedule:
        """Return the schedule in a record."""
        fields: dict[str, Any] = dict(record)
        given = {key: fields[key] for key in ScheduleTiming._fields if key in fields}
        for key in _SECONDS:
            seconds = given.get(key)
            given[key] = None if seconds is None else dt.timedelta(seconds=seconds)
        state = state_of(record)
        assert state is not None  # noqa: S101 - there is a record
        return cls(
            name=name,
            calls=fields["calls"],
            content=fields["content"],
            given=ScheduleTiming(**given),
            state=state,
            is_paused=fields["is_paused"],
            put_at=fields["put_at"],
            last_due=fields.get("last_due"),
        )


def write_back(transaction: Transaction, after: StoredSchedule, before: Record | None) -> None:
    """Write what a schedule has become, unless it is as it was stored."""
    record = after.record(before)
    if record != before:
        transaction.put(key_of(after.name), record, unindexed=unindexed(record))


def key_of(name: str) -> RecordKey:
    """Return the key of a schedule."""
    return RecordKey(KIND, name)


def due_property(cron_name: str) -> str:
    """Return the property that says from when on a call of a cron name finds a schedule due.

    Each cron name has one of its own, so that the automatic index of the property serves it.
    """
    return f"{_DUE}{cron_name}"


def unindexed(record: Record) -> list[str]:
    """Return the fields of a record that have no index: all by which it is not found."""
    return [name for name in record if not name.startswith(_DUE) and name != "expires_at"]


def note_delivery(store: EntityStore, call: Call) -> None:
    """Store that the run of a slot was enqueued, if the call of the Scheduler has not.

    Raises:
        StoreError: Datastore could not be reached; the run must not begin.
    """
    _note(store, call, {"is_enqueued": True})


def follow(store: EntityStore, call: Call, task: str) -> None:
    """Store the new task of a run that has postponed itself, since the run has not ended.

    Raises:
        StoreError: Datastore could not be reached.
    """
    _note(store, call, {"task": task, "is_enqueued": True})


def _note(store: EntityStore, call: Call, changes: Record) -> None:
    key = key_of(call.envelope.schedule)
    note(store, call, [key], changes, unindexed=unindexed)
