"""The stored states of periodic functions: whether somebody has paused one, and its last slots.

A revision that does not know a field drops it when it writes a state.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

from adjourn.cron import due
from adjourn.cron.due import Decision, PeriodicState, key_of
from adjourn.cron.periodic import Periodic
from adjourn.ports import EntityStore, Record, Transaction

# Together they stay below the 1,500 bytes of an indexed text: earlier versions, which keep a field
# that they do not know in some of their writes, would index it.
_MOST_SLOTS = 10
_MOST_BYTES = 1_400


class Slot(NamedTuple):
    """A slot that has passed.

    Attributes:
        at: Its time.
        reason: Why it was left out; "" if it was claimed.
    """

    at: dt.datetime
    reason: str


def noted(decision: Decision) -> PeriodicState | None:
    """Return the state that a decision stores, with the slots that are settled by it."""
    state = decision.state
    if state is None:
        return None
    settled = [Slot(*each) for each in decision.skipped]
    settled += [Slot(decision.slot, "")] if decision.slot else []
    lines = state.recent.splitlines()
    for slot in sorted(settled):
        line = f"{slot.at.astimezone(dt.UTC).isoformat()} {slot.reason}".strip()
        if line not in lines:  # a claim that is completed was noted before
            lines.append(line)
    lines = lines[-_MOST_SLOTS:]
    while len("\n".join(lines).encode()) > _MOST_BYTES:
        del lines[0]
    return state._replace(recent="\n".join(lines))


def recent(state: PeriodicState | None) -> Sequence[Slot]:
    """Return the last slots that a state tells of, the latest first."""
    found = []
    for line in state.recent.splitlines() if state else ():
        at, _, reason = line.partition(" ")
        found.append(Slot(dt.datetime.fromisoformat(at), reason))
    return sorted(found, reverse=True)


def state_of(record: Record | None) -> PeriodicState | None:
    """Return the state in the record of a periodic function."""
    state = due.state_of(record)
    if record is None or state is None:
        return None
    is_paused, recent = record.get("is_paused") is True, str(record.get("recent", ""))
    return state._replace(is_paused=is_paused, recent=recent)


def record_of(state: PeriodicState) -> Record:
    """Return the record for the state of a periodic function."""
    return {**due.record_of(state), "is_paused": state.is_paused, "recent": state.recent}


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
