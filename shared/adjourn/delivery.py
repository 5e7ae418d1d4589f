"""What arrives at our functions, and what can become of it."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from adjourn.retry import Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One request to one of our functions, free of any web framework."""

    authorization: Sequence[str]
    body: bytes
    path: str = "/"
    queue: str = ""
    task_name: str = ""
    attempt: Attempt = field(default_factory=Attempt)
    scheduled: dt.datetime | None = None


class Outcome(Enum):
    """What became of a delivery."""

    DONE = auto()
    DEAD = auto()  # given up, with a record
    FAILED = auto()  # the user's code raised; to be tried again
    BUSY = auto()  # another delivery of the same work is running, or an earlier one must come first
    UNKNOWN = auto()  # names what this revision does not have, perhaps the next one does
    UNAUTHENTICATED = auto()
    FORBIDDEN = auto()
    TROUBLE = auto()  # ours, not the user's: Datastore, keys or queue out of reach
