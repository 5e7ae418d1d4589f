"""When periodic functions will be due."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from adjourn.cron.due import SKEW, PeriodicState, longest_lookahead, since
from adjourn.cron.periodic import Timing


def upcoming(
    timing: Timing, state: PeriodicState | None, now: dt.datetime
) -> Iterator[dt.datetime]:
    """Yield the next due times, beginning with a claimed slot; none if it is due at every call."""
    slot = state.slot if state and not state.is_enqueued else None
    if isinstance(timing.when, dt.timedelta):
        if not timing.when:
            return
        slot = slot or (max(now, state.slot + timing.when) if state else now)
        while True:
            yield slot
            slot += timing.when
    slot = slot or timing.when.latest(since(timing, state, now), now)
    if slot:
        yield slot
    slot = max(now, state.slot) if state else now
    while True:
        slot = timing.when.next_after(slot)
        yield slot


def next_slot(timing: Timing, state: PeriodicState) -> dt.datetime:
    """Return the next due time, which is the present one of a claimed slot; `NEVER` if none."""
    if not state.is_enqueued:
        return state.slot
    if isinstance(timing.when, dt.timedelta):
        return state.slot + timing.when
    return timing.when.next_after(state.slot)


def found_from(timing: Timing, slot: dt.datetime) -> dt.datetime:
    """Return the earliest time at which a call of the Scheduler finds a slot due."""
    when = timing.when
    return slot - (longest_lookahead(when) if isinstance(when, dt.timedelta) else SKEW)
