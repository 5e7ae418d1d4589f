"""Why the walk of a step ended."""

from __future__ import annotations

from enum import Enum, auto


class WalkEnd(Enum):
    """Why a walk ended."""

    TIME = auto()  # its time was up
    CUT = auto()  # earlier than that: the process is stopping, or a batch failed
    WAIT = auto()  # the next entity is not due yet, by the pace or because it failed before
    END = auto()  # the shard has no further entities
    STOP = auto()  # the run stops at an entity
