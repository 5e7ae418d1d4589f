"""A delivered call that wants to run: where, and what it may do."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from adjourn.flow.limits import Flow
from adjourn.names import CallIdentity
from adjourn.state.call_records import CallRecord


class Place(NamedTuple):
    """A flow and a key: where a call runs or waits.

    Attributes:
        name: Name of the flow.
        key: The key.
        flow: The flow as declared.
    """

    name: str
    key: str
    flow: Flow


class Entrance(NamedTuple):
    """What a delivered call may do, and when.

    Attributes:
        entry: What.
        decided_at: When this was decided.
        at: It begins not before this time.
        deadline: It begins not after this time; None for any time.
        is_held: Whether it has a permit to give back.
    """

    entry: Entry
    decided_at: dt.datetime
    at: dt.datetime
    deadline: dt.datetime | None = None
    is_held: bool = False


class Entry(Enum):
    """What a delivered call may do."""

    RUNS = auto()
    RUNS_AFTER_WAIT = auto()
    WAITS = auto()
    BUSY = auto()  # another delivery of it runs, or has died and still has its permit
    OVER = auto()  # it has ended, was cancelled, or goes on as another task


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A delivery of a call that wants to run.

    Attributes:
        call: The call.
        holder: Id of the delivery.
        resumed: How often the call was enqueued again before this task.
        lease: How long its permit lasts if it is not given back.
        queue: Short name of its queue.
        parked: Returns its record if it has to wait, from its present one.
        patience: How long it may stay for the next token of a rate, if it has waited before.
        delay: How long it may take until it can begin.
    """

    call: CallIdentity
    holder: str
    resumed: int
    lease: dt.timedelta
    queue: str
    parked: Callable[[CallRecord], CallRecord]
    patience: dt.timedelta
    delay: dt.timedelta
