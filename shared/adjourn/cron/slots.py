"""The last slots of periodic functions: which ones there were, and what became of each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

from adjourn.cron.due import Decision
from adjourn.cron.states import PeriodicState

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
