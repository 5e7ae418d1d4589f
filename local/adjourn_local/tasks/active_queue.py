"""One queue while the server runs: its settings, what waits in it and what holds it back."""

from adjourn_local.http.sender import HandlerResponse
from adjourn_local.tasks.options import TasksOptions
from adjourn_local.tasks.queue_definition import QueueSettings
from adjourn_local.tasks.task_schedule import TaskSchedule
from adjourn_local.tasks.throttle import Throttle
from adjourn_local.tasks.token_bucket import TokenBucket
from adjourn_local.timing.timer import Timer
from adjourn_local.timing.timestamps import SECOND

# With the limits off something must still keep a full queue from opening a thousand connections.
_UNLIMITED_CONCURRENCY = 64
_LINES_A_SECOND = 20


class ActiveQueue:
    """Answers when the next dispatch of a queue may be; the dispatcher does it."""

    def __init__(
        self,
        name: str,
        settings: QueueSettings,
        agenda: TaskSchedule,
        alarm: Timer,
        now: int,
        *,
        options: TasksOptions,
    ) -> None:
        self.name = name
        self.settings = settings
        self.agenda = agenda
        self.alarm = alarm
        self.in_flight = 0
        self.purged = 0
        self.log = LogBudget()
        self._limits = options.limits
        self._throttle = Throttle() if options.throttles else None
        self._bucket = TokenBucket(settings.rate, settings.burst, now)

    def is_open(self) -> bool:
        """Tell whether the queue may dispatch at all at present."""
        cap = self.settings.concurrent if self._limits else _UNLIMITED_CONCURRENCY
        return self.settings.is_running and self.in_flight < cap

    def ready_at(self, due: int, now: int) -> int:
        """Return when a task that is due at `due` may go, `now` at the earliest."""
        if due > now or not self._limits:
            return max(due, now)
        ready = self._bucket.ready_at(now)
        return ready if self._throttle is None else max(ready, self._throttle.until)

    def spend(self, now: int) -> None:
        """Note a dispatch that the limits apply to."""
        if self._limits:
            self._bucket.take(now)

    def change(self, settings: QueueSettings, now: int) -> None:
        """Go on with other settings."""
        self.settings = settings
        self._adjust(now)

    def heard(self, answer: HandlerResponse, now: int, *, app_engine: bool) -> None:
        """Slow down or speed up as a worker's answer has it, if that is wanted at all."""
        if self._throttle is not None and self._throttle.heard(answer, now, app_engine=app_engine):
            self._adjust(now)

    def _adjust(self, now: int) -> None:
        share = 1.0 if self._throttle is None else self._throttle.share
        burst = max(1, int(self.settings.burst * share))
        self._bucket.adjust(self.settings.rate * share, burst, now)


class LogBudget:
    """Lets so many lines a second into the log and counts the rest, lest retries flood it."""

    def __init__(self) -> None:
        self._second = 0
        self._left = _LINES_A_SECOND
        self._held_back = 0

    def ask(self, now: int) -> int | None:
        """Return how many lines were held back since the last one, or None to hold this one back.

        Args:
            now: The present in microseconds.
        """
        second = now // SECOND
        if second != self._second:
            self._second, self._left = second, _LINES_A_SECOND
        if not self._left:
            self._held_back += 1
            return None
        self._left -= 1
        held_back, self._held_back = self._held_back, 0
        return held_back
