"""Options of the Cloud Tasks server."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksOptions:
    """The options of one server.

    Attributes:
        limits: Whether the rate and concurrency limits of queues apply.
        throttles: Whether a queue slows down after responses with 429 or 503.
        creates_queues: Whether creating a task in a missing queue creates the queue.
        app_engine: The base URL of each App Engine service; tasks for others are refused.
        tombstone: How long the name of a finished or deleted task stays taken. The documentation
            says one hour in one place and 24 hours in another.
        queue_tombstone: How long the name of a deleted queue stays taken; documented as up to three
            days.
        firebase_functions: Base URL of Firebase's Functions emulator, for the tasks of
            firebase-admin.
        grace: Seconds that attempts in flight have to finish when the server stops.
    """

    limits: bool = True
    throttles: bool = False
    creates_queues: bool = False
    app_engine: Mapping[str, str] = field(default_factory=dict)
    tombstone: dt.timedelta = dt.timedelta(hours=1)
    queue_tombstone: dt.timedelta = dt.timedelta(days=3)
    firebase_functions: str = "http://127.0.0.1:5001"
    grace: float = 1.0


DEFAULTS = TasksOptions()
