"""How a Cloud Tasks server behaves where the documentation leaves room or users want another."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksOptions:
    """The settings of one server.

    Attributes:
        limits: Whether queues keep to their rate and concurrency.
        throttles: Whether a queue slows down when its worker answers 429 or 503.
        creates_queues: Whether a task makes the queue that it is created in, if that is missing.
        app_engine: The base URL of each App Engine service; tasks for others are refused.
        tombstone: For how long the name of a task that is gone stays taken. The documentation says
            one hour here and 24 hours there.
        queue_tombstone: The same for the name of a deleted queue; documented as up to three days.
        grace: Seconds that are left to the attempts in flight when the server stops.
    """

    limits: bool = True
    throttles: bool = False
    creates_queues: bool = False
    app_engine: Mapping[str, str] = field(default_factory=dict)
    tombstone: dt.timedelta = dt.timedelta(hours=1)
    queue_tombstone: dt.timedelta = dt.timedelta(days=3)
    grace: float = 1.0


DEFAULTS = TasksOptions()
