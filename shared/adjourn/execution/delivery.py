"""Requests to our functions, and their outcomes.

They are named tuples because making a frozen dataclass takes three times as long, at import and for
each delivery.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from types import MappingProxyType
from typing import NamedTuple

from adjourn.execution.attempt import Attempt

# How long Cloud Tasks waits for an answer: the default of Task.dispatch_deadline for HTTP targets.
TIMEOUT = dt.timedelta(minutes=10)


class AppEngine(NamedTuple):
    """The headers that App Engine sets; on other platforms, anyone can send them.

    Attributes:
        address: IP address of the caller.
        is_cron: Whether the request claims to come from cron.
        queue: Name of the queue.
        task_name: Name of the task.
        attempt: The number of the attempt. App Engine counts every answer as an execution, even
            5xx, so `max_retries` may be used up sooner.
    """

    address: str = ""
    is_cron: bool = False
    queue: str = ""
    task_name: str = ""
    attempt: Attempt = Attempt()


class Delivery(NamedTuple):
    """One request of a service to one of our functions, independent of a web framework.

    Attributes:
        sealed: The body as it came, if it was sealed; then `body` is what was inside.
        read_body: Reads the body, once the caller is let in; None if it is known already.
    """

    authorization: Sequence[str]
    body: bytes
    path: str = "/"
    queue: str = ""
    task_name: str = ""
    attempt: Attempt = Attempt()
    scheduled: dt.datetime | None = None
    app_engine: AppEngine = AppEngine()
    sealed: bytes = b""
    read_body: Callable[[], bytes] | None = None

    def as_app_engine_says(self) -> "Delivery":
        """Return the delivery with queue, task and attempt as App Engine names and counts them."""
        said = self.app_engine
        return self._replace(queue=said.queue, task_name=said.task_name, attempt=said.attempt)


class UserRequest(NamedTuple):
    """A request of a user to list or start callable tasks, independent of any web framework.

    Attributes:
        key: Key of the task to start; None for the list.
        content_type: Media type of the body, without parameters.
        has_body: Whether the headers announce a body.
        read_body: Reads the body, once the user is identified; raises a `BodyError` if it cannot.
    """

    authorization: Sequence[str]
    method: str
    key: str | None
    content_type: str = ""
    has_body: bool = False
    read_body: Callable[[], bytes] = bytes


class UserResponse(NamedTuple):
    """The response to a `UserRequest`, with JSON content."""

    status: int
    content: Mapping[str, object]
    headers: Mapping[str, str] = MappingProxyType({})


class Outcome(Enum):
    """The outcome of a delivery; `adjourn.requests.wsgi` maps it to an HTTP status."""

    DONE = auto()  # done, dropped or enqueued again: this task has ended
    DROPPED = auto()  # never to run, as it has expired; only within the runner, which answers DONE
    DEAD = auto()  # given up and recorded as a dead letter
    FAILED = auto()  # the user's code raised; to be retried
    BUSY = auto()  # another delivery of the same work is running, or an earlier one must come first
    UNKNOWN = auto()  # a name that this revision does not know; the next one may
    UNAUTHENTICATED = auto()
    FORBIDDEN = auto()
    TROUBLE = auto()  # not the user's fault: Datastore, keys or queue out of reach
    TOO_LONG = auto()  # the body
    BROKEN = auto()  # the body, which cannot be read
    SLOW = auto()  # the sender of the body
