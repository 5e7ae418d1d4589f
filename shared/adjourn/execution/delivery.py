"""What arrives at our functions, and what can become of it.

Named tuples, because a frozen dataclass takes thrice as long to make, at import and per delivery.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from types import MappingProxyType
from typing import NamedTuple

from adjourn.execution.attempt import Attempt

# How long Cloud Tasks waits for an answer: the default of Task.dispatch_deadline for HTTP targets.
TIMEOUT = dt.timedelta(minutes=10)


class AppEngine(NamedTuple):
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
    attempt: Attempt = Attempt()


class Delivery(NamedTuple):
    """One request to one of our functions, free of any web framework."""

    authorization: Sequence[str]
    body: bytes
    path: str = "/"
    queue: str = ""
    task_name: str = ""
    attempt: Attempt = Attempt()
    scheduled: dt.datetime | None = None
    app_engine: AppEngine = AppEngine()

    def as_app_engine_says(self) -> Delivery:
        """Return the delivery with queue, task and attempt as App Engine names and counts them."""
        said = self.app_engine
        return self._replace(queue=said.queue, task_name=said.task_name, attempt=said.attempt)


class UserRequest(NamedTuple):
    """A request of a user to list or start callable tasks, independent of any web framework.

    Attributes:
        key: Key of the task to start; None for the list.
        content_type: Media type of the body, without parameters.
        body: The body; None if it was too long to be read.
    """

    authorization: Sequence[str]
    method: str
    key: str | None
    content_type: str = ""
    body: bytes | None = b""


class UserResponse(NamedTuple):
    """The response to a `UserRequest`, with JSON content."""

    status: int
    content: Mapping[str, object]
    headers: Mapping[str, str] = MappingProxyType({})


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
