"""The stored states of periodic functions: the last slot, its task, and whether it is paused.

A revision that does not know a field drops it when it writes a state.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

from adjourn.cron.periodic import Periodic
from adjourn.execution.current_task import Call
from adjourn.names import RUN
from adjourn.ports import EntityStore, Record, RecordKey, Transaction
from adjourn.tasks.objects import ObjectPath

KIND = "AdjournPeriodic"


class PeriodicState(NamedTuple):
    """The stored state of a periodic function.

    Attributes:
        slot: The last slot that was claimed; without one, the time after which slots count.
        is_enqueued: Whether the task of the slot is known to have been enqueued.
        task: Full name of the task of the last run; "" if there was none.
        call: Id of that run.
        timing: Text of the interval or schedule that the slot belongs to.
        is_paused: Whether somebody has paused it: slots are left out until it is resumed.
        recent: The last slots, one on each line: its time, and behind a space why it was left out.
    """

    slot: dt.datetime
    is_enqueued: bool
    task: str = ""
    call: str = ""
    timing: str = ""
    is_paused: bool = False
    recent: str = ""


def key_of(periodic: Periodic) -> RecordKey:
    """Return the key of the state of a periodic function."""
    return RecordKey(KIND, periodic.name)


def state_of(record: Record | None) -> PeriodicState | None:
    """Return the state in a record."""
    if record is None:
        return None
    slot = record["slot"]
    assert isinstance(slot, dt.datetime)  # noqa: S101 - we wrote it
    return PeriodicState(
        slot=slot,
        is_enqueued=bool(record["is_enqueued"]),
        task=str(record.get("task", "")),
        call=str(record.get("call", "")),
        timing=str(record.get("told", "")),
        is_paused=record.get("is_paused") is True,
        recent=str(record.get("recent", "")),
    )


def record_of(state: PeriodicState) -> Record:
    """Return the record of a state."""
    return {
        "slot": state.slot,
        "is_enqueued": state.is_enqueued,
        "task": state.task,
        "call": state.call,
        "told": state.timing,
        "is_paused": state.is_paused,
        "recent": state.recent,
    }


def first_state(periodic: Periodic, now: dt.datetime) -> PeriodicState:
    """Return the state of a function that no call of the Scheduler has asked for yet."""
    return PeriodicState(slot=now, is_enqueued=True, timing=periodic.timing.text)


def set_paused(
    store: EntityStore, periodic: Periodic, now: dt.datetime, *, is_paused: bool
) -> bool:
    """Pause or resume a periodic function; return whether that changed anything.

    While it is paused, its slots are left out with a log event. A slot that was claimed before is
    run, and so is what somebody runs by hand.

    Raises:
        StoreError: The state could not be read or written.
    """
    key = key_of(periodic)

    def work(transaction: Transaction) -> bool:
        state = state_of(transaction.get([key])[0]) or first_state(periodic, now)
        if state.is_paused != is_paused:
            transaction.put(key, record_of(state._replace(is_paused=is_paused)))
        return state.is_paused != is_paused

    return store.transact(work)


def follow(store: EntityStore, call: Call, task: str) -> None:
    """Store the new task of a run that has postponed itself, since the run has not ended.

    Raises:
        StoreError: Datastore could not be reached.
    """
    _note(store, call, {"task": task, "is_enqueued": True})


def note_delivery(store: EntityStore, call: Call) -> None:
    """Store that the task of a slot was enqueued, if the call of the Scheduler has not.

    Without that, a slot whose mark was lost would be enqueued again when Cloud Tasks has forgotten
    the name of its task. It costs a run one lookup.

    Raises:
        StoreError: Datastore could not be reached; the run must not begin.
    """
    _note(store, call, {"is_enqueued": True})


def _note(store: EntityStore, call: Call, changes: Record) -> None:
    """Change the state to which a run belongs, unless another run or task has followed."""
    envelope = call.envelope
    if not envelope.id.endswith(RUN):
        return
    names = [envelope.task]
    if envelope.args and isinstance(envelope.args[0], ObjectPath):
        names.append(f"{envelope.task} on {envelope.args[0].path}")
    keys = [RecordKey(KIND, name) for name in names]

    def changed(records: Sequence[Record | None]) -> dict[RecordKey, Record]:
        return {
            key: {**record, **changes}
            for key, record in zip(keys, records, strict=True)
            if record
            and record.get("call") == envelope.id
            and call.is_carried_by(str(record.get("task", "")))
            and not changes.items() <= record.items()
        }

    def work(transaction: Transaction) -> None:
        for key, record in changed(transaction.get(keys)).items():
            transaction.put(key, record)

    if changed(store.get(keys)):
        store.transact(work)
