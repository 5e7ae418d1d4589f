"""What became of the last slots of a periodic function, for people who look."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import NamedTuple

from adjourn.concurrency import in_parallel
from adjourn.cron.due import PeriodicState
from adjourn.cron.states import Slot, recent
from adjourn.cron.tick import PeriodicRunner, PeriodicStatus, run_name
from adjourn.execution.dead_letters import KIND as DEAD_LETTER
from adjourn.ports import RecordKey


class SlotOutcome(enum.Enum):
    """What became of a slot."""

    LEFT_OUT = "left out"
    NOT_ENDED = "not ended"
    GIVEN_UP = "given up"
    ENDED = "ended"


class PastSlot(NamedTuple):
    """A slot, and what is known of its run.

    Attributes:
        slot: The slot.
        outcome: What became of it.
        call: Id of its call, by which a dead letter is found; "" if it was left out.
        attempts: Attempts so far, of one that has not ended.
    """

    slot: Slot
    outcome: SlotOutcome
    call: str = ""
    attempts: int = 0


def past_slots(runner: PeriodicRunner, status: PeriodicStatus) -> Sequence[PastSlot]:
    """Return the last slots of a function, at most ten, the latest first.

    It costs one lookup for each run, and one call of Cloud Tasks. A run has ended if it has left
    neither a dead letter nor a task.

    Raises:
        StoreError: Datastore could not be reached.
        UnavailableError: Cloud Tasks could not be reached.
    """
    slots = recent(status.state)
    calls = [run_name(status.periodic, slot.at) for slot in slots if not slot.reason]
    letters = runner.store.get([RecordKey(DEAD_LETTER, call) for call in calls])
    dead = {call for call, letter in zip(calls, letters, strict=True) if letter}
    tasks = in_parallel(lambda call: _attempts(runner, status, call), calls)
    attempts = dict(zip(calls, tasks, strict=True))
    return [_past(slot, run_name(status.periodic, slot.at), dead, attempts) for slot in slots]


def _past(slot: Slot, call: str, dead: set[str], attempts: dict[str, int | None]) -> PastSlot:
    if slot.reason:
        return PastSlot(slot, SlotOutcome.LEFT_OUT)
    found = attempts[call]
    if found is not None:
        return PastSlot(slot, SlotOutcome.NOT_ENDED, call, found)
    return PastSlot(slot, SlotOutcome.GIVEN_UP if call in dead else SlotOutcome.ENDED, call)


def _attempts(runner: PeriodicRunner, status: PeriodicStatus, call: str) -> int | None:
    """Return the attempts so far at the task of a run, None if it has none."""
    state: PeriodicState | None = status.state
    if state is not None and state.call == call:  # its task may have another name by now
        return status.task.attempts if status.task else None
    task = runner.task_of(status.periodic, call)
    return task.attempts if task else None
