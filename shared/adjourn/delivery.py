"""What arrives at our functions, and what can become of it."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from adjourn.retry import Attempt


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AppEngine:
    """What the headers say that App Engine sets; anywhere else, anyone can send them.

    Attributes:
        address: Where the request comes from.
        is_cron: Whether it says that it comes from cron.
        queue: Name of the queue.
        task_name: Name of the task.
        attempt: Which attempt it is. Here every answer has counted as an execution, those that
            were trouble of our own as well, so a task's own budget may be spent sooner.
    """

    address: str = ""
    is_cron: bool = False
    queue: str = ""
    task_name: str = ""
    attempt: Attempt = field(default_factory=Attempt)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Delivery:
    """One request to one of our functions, free of any web framework."""

    authorization: Sequence[str]
    body: bytes
    path: str = "/"
    queue: str = ""
    task_name: str = ""
    attempt: Attempt = field(default_factory=Attempt)
    scheduled: dt.datetime | None = None
    app_engine: AppEngine = field(default_factory=AppEngine)

    def as_app_engine_says(self) -> "Delivery":
        """Return the delivery with queue, task and attempt as App Engine names and counts them."""
        said = self.app_engine
        return replace(self, queue=said.queue, task_name=said.task_name, attempt=said.attempt)


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
