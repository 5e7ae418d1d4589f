"""Decide which slot of a periodic function is due; a slot is a time at which it runs once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from adjourn.cron.periodic import Periodic, Timing
from adjourn.execution.current_task import Call
from adjourn.names import RUN
from adjourn.ports import EntityStore, Record, RecordKey, Transaction
from adjourn.tasks.objects import ObjectPath

KIND = "AdjournPeriodic"

# If a call of Cloud Scheduler was late, for instance after retries, the next one follows it sooner
# than after the interval. So a slot within the next tenth of its interval is enqueued now, to start
# when it is due.
_LONGEST_LOOKAHEAD = dt.timedelta(days=1)  # well below the 30 days that Cloud Tasks allows
# By how much our clock may be behind that of the Scheduler.
SKEW = dt.timedelta(seconds=10)
# Once a claim is older, the call that made it has ended (a call of Cloud Scheduler may take 30
# minutes, https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs), and
# the name of its task may be free again.
_CLAIM_LASTS = dt.timedelta(hours=1)
# The first call may be for a time of the schedule: a daily function must not wait for another day.
_FIRST_WINDOW = dt.timedelta(minutes=1)


class PeriodicState(NamedTuple):
    """The stored state of a periodic function.

    Attributes:
        slot: The last slot that was claimed; without one, the time after which slots count.
        is_enqueued: Whether the task of the slot is known to have been enqueued.
        task: Full name of the task of the last run; "" if there was none.
        call: Id of that run.
        timing: Text of the interval or schedule that the slot belongs to.
        is_paused: Whether its slots are left out until it is resumed.
        recent: The last slots as text (`adjourn.cron.states`).
    """

    slot: dt.datetime
    is_enqueued: bool
    task: str = ""
    call: str = ""
    timing: str = ""
    is_paused: bool = False
    recent: str = ""


class Decision(NamedTuple):
    """What a call of the Scheduler changes for one function.

    Attributes:
        state: The state to store; None to keep the stored one.
        slot: The slot to enqueue, if any.
        skipped: The slots that are skipped, each with the reason.
    """

    state: PeriodicState | None = None
    slot: dt.datetime | None = None
    skipped: tuple[tuple[dt.datetime, str], ...] = ()


def due(
    timing: Timing, state: PeriodicState | None, tick: dt.datetime, now: dt.datetime
) -> dt.datetime | None:
    """Return the slot to enqueue now, None if nothing is due.

    A slot that was claimed but not enqueued comes first. Of several slots that have passed, only
    the latest is due. An interval of zero is due once for each tick, however often the Scheduler
    repeats the call.

    Args:
        timing: The declared timing.
        state: The stored state, None before the first call.
        tick: The time that the Scheduler gives for its call, never later than now.
        now: The present.
    """
    if state is not None and not state.is_enqueued:
        return state.slot
    interval = timing.when
    if not isinstance(interval, dt.timedelta):
        return interval.latest(since(timing, state, tick), now + SKEW)
    if state is None:
        return now if interval else tick
    if not interval:
        return tick if tick > state.slot else None
    next_slot = state.slot + interval
    return max(now, next_slot) if next_slot - now <= longest_lookahead(interval) else None


def longest_lookahead(interval: dt.timedelta) -> dt.timedelta:
    """Return how long before its time a slot may be enqueued."""
    return min(interval / 10, _LONGEST_LOOKAHEAD)


def decide(
    timing: Timing,
    state: PeriodicState | None,
    tick: dt.datetime,
    now: dt.datetime,
    *,
    is_running: bool,
) -> Decision:
    """Decide what to do about the slot that is due.

    While the last run has not ended, a slot of a schedule is skipped; one of an interval waits.

    Args:
        timing: The declared timing.
        state: The stored state, None before the first call.
        tick: The time that the Scheduler gives for its call, never later than now.
        now: The present.
        is_running: Whether the last run has not ended; of a claimed slot, whether it has a task.
    """
    if state is not None and not state.is_enqueued and is_running:  # only the mark was lost
        return _passing(timing, state._replace(is_enqueued=True), tick, now, is_running=True)
    slot = due(timing, state, tick, now)
    last = state or PeriodicState(slot=now, is_enqueued=True)
    if slot is None:
        if isinstance(timing.when, dt.timedelta) or _is_known(timing, state):
            return Decision()
        # From now on slots count, so that none can fall between two calls.
        return Decision(state=last._replace(slot=now, timing=timing.text))
    passed = last._replace(slot=slot, is_enqueued=True, timing=timing.text)
    if reason := _reason_to_skip(timing, passed, tick, now, is_claimed=_is_unfinished(state)):
        then = _passing(timing, passed, tick, now, is_running=is_running)
        return then._replace(skipped=((slot, reason), *then.skipped))
    skipped = _overtaken(timing, state, tick, slot)
    if is_running and timing.skips_overlap and not _is_unfinished(state):
        waits = isinstance(timing.when, dt.timedelta)
        skipped = (*skipped, (slot, "the last run has not ended"))
        return Decision(state=None if waits else passed, skipped=skipped)
    return Decision(state=passed._replace(is_enqueued=False), slot=slot, skipped=skipped)


def _passing(
    timing: Timing, passed: PeriodicState, tick: dt.datetime, now: dt.datetime, *, is_running: bool
) -> Decision:
    """Decide what follows a slot that is settled, and store at least that it is."""
    then = decide(timing, passed, tick, now, is_running=is_running)
    return then._replace(state=then.state or passed)


def _reason_to_skip(
    timing: Timing, passed: PeriodicState, tick: dt.datetime, now: dt.datetime, *, is_claimed: bool
) -> str:
    """Return why the slot that is due is left out, "" if it is not."""
    if passed.is_paused and not is_claimed:
        return "the function is paused"
    if timing.grace is not None and now - passed.slot > timing.grace:
        return "it was found too late"
    # Not an interval, which begins anew with a claim that is completed.
    is_schedule = not isinstance(timing.when, dt.timedelta)
    is_old = is_claimed and is_schedule and now - passed.slot >= _CLAIM_LASTS
    if is_old and due(timing, passed, tick, now) is not None:
        return "the call that was to enqueue it did not, and a later time is due"
    return ""


def _overtaken(
    timing: Timing, state: PeriodicState | None, tick: dt.datetime, slot: dt.datetime
) -> tuple[tuple[dt.datetime, str], ...]:
    """Return the first time of a schedule that is left out because a later one is due, if any."""
    if (
        isinstance(timing.when, dt.timedelta)
        or not _is_known(timing, state)
        or _is_unfinished(state)
    ):
        return ()
    first = timing.when.next_after(since(timing, state, tick))
    if first == slot:
        return ()
    reason = f"like all times before {slot:%Y-%m-%d %H:%M} UTC, it passed without a call"
    return ((first, reason),)


def since(timing: Timing, state: PeriodicState | None, tick: dt.datetime) -> dt.datetime:
    """Return the time after which slots count; the schedule may have changed since the last."""
    if state is None:
        return tick - _FIRST_WINDOW
    return state.slot if _is_known(timing, state) else max(state.slot, tick - _FIRST_WINDOW)


def _is_known(timing: Timing, state: PeriodicState | None) -> bool:
    return state is not None and state.timing == timing.text


def _is_unfinished(state: PeriodicState | None) -> bool:
    return state is not None and not state.is_enqueued


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
    )


def record_of(state: PeriodicState) -> Record:
    """Return the record of a state."""
    return {
        "slot": state.slot,
        "is_enqueued": state.is_enqueued,
        "task": state.task,
        "call": state.call,
        "told": state.timing,
    }


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
    envelope = call.envelope
    if not envelope.id.endswith(RUN):
        return
    names = [envelope.task]
    if envelope.args and isinstance(envelope.args[0], ObjectPath):
        names.append(f"{envelope.task} on {envelope.args[0].path}")
    note(store, call, [RecordKey(KIND, name) for name in names], changes)


def note(
    store: EntityStore,
    call: Call,
    keys: Sequence[RecordKey],
    changes: Record,
    *,
    unindexed: Callable[[Record], Collection[str]] = lambda _: (),
) -> None:
    """Change the state to which a run belongs, unless another run or task has followed.

    Args:
        store: Where the state is.
        call: The run.
        keys: The keys that the state may have.
        changes: What is changed.
        unindexed: Returns the fields of a record that have no index.

    Raises:
        StoreError: Datastore could not be reached.
    """

    def changed(records: Sequence[Record | None]) -> dict[RecordKey, Record]:
        return {
            key: {**record, **changes}
            for key, record in zip(keys, records, strict=True)
            if record
            and record.get("call") == call.envelope.id
            and call.is_carried_by(str(record.get("task", "")))
            and not changes.items() <= record.items()
        }

    def work(transaction: Transaction) -> None:
        for key, record in changed(transaction.get(keys)).items():
            transaction.put(key, record, unindexed=unindexed(record))

    if changed(store.get(keys)):
        store.transact(work)
