"""Which slot of a periodic function is due: one of its times, which is to be run once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import NamedTuple

from adjourn.cron.periodic import Periodic, Timing
from adjourn.ports import EntityStore, Record, RecordKey, Transaction
from adjourn.serialization.envelope import Envelope
from adjourn.tasks.methods import ObjectPath

KIND = "AdjournPeriodic"
RUN = "-periodic"  # ends the ids of runs and the names of their tasks

# Cloud Scheduler may be early against its last call by as much as that one was late, also through
# retries. What becomes due within a tenth of its interval is enqueued now, to start when it is due.
_LONGEST_LOOKAHEAD = dt.timedelta(days=1)  # well below the 30 days that Cloud Tasks allows
# What our clock may be behind the Scheduler's.
_SKEW = dt.timedelta(seconds=10)
# The first call may well be for a time of the schedule: a daily one must not wait for another day.
_FIRST_WINDOW = dt.timedelta(minutes=1)


class State(NamedTuple):
    """What is stored of a periodic function.

    Attributes:
        slot: The last slot that was claimed, or since when there can be one.
        is_enqueued: Whether the slot needs no task any more.
        task: Full name of the task of the last run; "" if there was none.
        call: The id of that run.
        told: The interval or schedule of which it is a slot.
    """

    slot: dt.datetime
    is_enqueued: bool
    task: str = ""
    call: str = ""
    told: str = ""


class Decision(NamedTuple):
    """What a call of the Scheduler does about one function.

    Attributes:
        state: What is to be stored; None leaves it as it is.
        slot: The slot to enqueue, if any.
        skipped: The slots that are left out, each with the reason.
    """

    state: State | None = None
    slot: dt.datetime | None = None
    skipped: tuple[tuple[dt.datetime, str], ...] = ()


def due(
    timing: Timing, state: State | None, tick: dt.datetime, now: dt.datetime
) -> dt.datetime | None:
    """Return the slot to enqueue now, None if nothing is due.

    A slot that was claimed but not enqueued comes first. Of several that have passed, the latest is
    due and the others are left out. An interval of zero is due once for each tick, however often
    the Scheduler repeats it.

    Args:
        timing: What was declared.
        state: What is stored, None before the first call.
        tick: When the Scheduler says that it called, never later than now.
        now: The present.
    """
    if state is not None and not state.is_enqueued:
        return state.slot
    interval = timing.when
    if not isinstance(interval, dt.timedelta):
        return interval.latest(_since(timing, state, tick), now + _SKEW)
    if state is None:
        return now if interval else tick
    if not interval:
        return tick if tick > state.slot else None
    next_slot = state.slot + interval
    lookahead = min(interval / 10, _LONGEST_LOOKAHEAD)
    return max(now, next_slot) if next_slot - now <= lookahead else None


def decide(
    timing: Timing, state: State | None, tick: dt.datetime, now: dt.datetime, *, is_running: bool
) -> Decision:
    """Return what to do about the slot that is due.

    While the last run has not ended, a time of a schedule passes; an interval is due until it has.

    Args:
        timing: What was declared.
        state: What is stored, None before the first call.
        tick: When the Scheduler says that it called, never later than now.
        now: The present.
        is_running: Whether the last run has not ended.
    """
    slot = due(timing, state, tick, now)
    last = state or State(slot=now, is_enqueued=True)
    if slot is None:
        if isinstance(timing.when, dt.timedelta) or _is_known(timing, state):
            return Decision()
        # Known from here on, so that no time of the schedule can fall between two calls.
        return Decision(state=last._replace(slot=now, told=timing.told))
    passed = last._replace(slot=slot, is_enqueued=True, told=timing.told)
    if timing.grace is not None and now - slot > timing.grace:
        then = decide(timing, passed, tick, now, is_running=is_running)
        skipped = ((slot, "it was found too late"), *then.skipped)
        return then._replace(state=then.state or passed, skipped=skipped)
    if is_running and timing.skips_overlap and not _is_unfinished(state):
        waits = isinstance(timing.when, dt.timedelta)
        skipped = ((slot, "the last run has not ended"),)
        return Decision(state=None if waits else passed, skipped=skipped)
    return Decision(state=passed._replace(is_enqueued=False), slot=slot)


def upcoming(timing: Timing, state: State | None, now: dt.datetime) -> Iterator[dt.datetime]:
    """Yield when slots will be due, from the first that was not enqueued; none for every call."""
    slot = state.slot if state and not state.is_enqueued else None
    if isinstance(timing.when, dt.timedelta):
        if not timing.when:
            return
        slot = slot or (max(now, state.slot + timing.when) if state else now)
        while True:
            yield slot
            slot += timing.when
    slot = slot or timing.when.latest(_since(timing, state, now), now)
    if slot:
        yield slot
    slot = max(now, state.slot) if state else now
    while True:
        slot = timing.when.next_after(slot)
        yield slot


def _since(timing: Timing, state: State | None, tick: dt.datetime) -> dt.datetime:
    """Return after what a time of the schedule counts, which may have changed since."""
    if state is None:
        return tick - _FIRST_WINDOW
    return state.slot if _is_known(timing, state) else max(state.slot, tick - _FIRST_WINDOW)


def _is_known(timing: Timing, state: State | None) -> bool:
    return state is not None and state.told == timing.told


def _is_unfinished(state: State | None) -> bool:
    return state is not None and not state.is_enqueued


def key_of(periodic: Periodic) -> RecordKey:
    """Return where the state of a periodic function is stored."""
    return RecordKey(KIND, periodic.name)


def state_of(record: Record | None) -> State | None:
    """Return the state that a record holds."""
    if record is None:
        return None
    slot = record["slot"]
    assert isinstance(slot, dt.datetime)  # noqa: S101 - we wrote it
    texts = {name: str(record.get(name, "")) for name in ("task", "call", "told")}
    return State(slot=slot, is_enqueued=bool(record["is_enqueued"]), **texts)


def record_of(state: State) -> Record:
    """Return what is stored of a state."""
    return state._asdict()


def follow(store: EntityStore, envelope: Envelope, task: str) -> None:
    """Note under which task a run goes on that has put itself off: it has not ended.

    Raises:
        StoreError: Datastore could not be reached.
    """
    if not envelope.id.endswith(RUN):
        return
    names = [envelope.task]
    if envelope.args and isinstance(envelope.args[0], ObjectPath):
        names.append(f"{envelope.task} on {envelope.args[0].path}")
    keys = [RecordKey(KIND, name) for name in names]

    def work(transaction: Transaction) -> None:
        for key, record in zip(keys, transaction.get(keys), strict=True):
            if record is not None and record.get("call") == envelope.id:
                transaction.put(key, {**record, "task": task})

    store.transact(work)
