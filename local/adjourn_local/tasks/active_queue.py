"""A queue while the server runs: its settings, schedule and limits."""

from adjourn_local.http.sender import HandlerResponse
from adjourn_local.tasks.counters import LastMinute
from adjourn_local.tasks.options import TasksOptions
from adjourn_local.tasks.queue_definition import QueueSettings
from adjourn_local.tasks.task_schedule import TaskSchedule
from adjourn_local.tasks.throttle import Throttle
from adjourn_local.tasks.token_bucket import TokenBucket
from adjourn_local.timing.timer import Timer
from adjourn_local.timing.timestamps import SECOND

# Without limits, a full queue must still not open a thousand connections.
_UNLIMITED_CONCURRENCY = 64
_LOG_LINES_A_SECOND = 20


class ActiveQueue:
    """Decides when a queue may dispatch its next task; the dispatcher sends it."""

    def __init__(
        self,
        settings: QueueSettings,
        schedule: TaskSchedule,
        timer: Timer,
        now: int,
        *,
        options: TasksOptions,
    ) -> None:
        self.settings = settings
        self.schedule = schedule
        self.timer = timer
        self.in_flight = 0
        self.purged_up_to = 0
        self.log = LogBudget()
        self.executed = LastMinute()
        self._limits = options.limits
        self._throttle = Throttle() if options.throttles else None
        self._token_bucket = TokenBucket(settings.rate, settings.burst, now)

    @property
    def rate(self) -> float:
        """Dispatches a second at most, as it is now slowed down."""
        return self.settings.rate * self._share

    def can_dispatch(self) -> bool:
        """Return whether the queue may dispatch now: it runs and has a free slot."""
        cap = self.settings.concurrent if self._limits else _UNLIMITED_CONCURRENCY
        return self.settings.is_running and self.in_flight < cap

    def ready_at(self, due: int, now: int) -> int:
        """Return the time at which a task due at `due` may be dispatched, `now` at the earliest."""
        if due > now or not self._limits:
            return max(due, now)
        ready = self._token_bucket.ready_at(now)
        return ready if self._throttle is None else max(ready, self._throttle.until)

    def take_token(self, now: int) -> None:
        """Count a dispatch against the rate limit."""
        if self._limits:
            self._token_bucket.take(now)

    def change(self, settings: QueueSettings, now: int) -> None:
        """Change the settings."""
        self.settings = settings
        self._adjust(now)

    def note_response(self, response: HandlerResponse, now: int, *, app_engine: bool) -> None:
        """Slow down or speed up after a handler's response, if throttling is on."""
        if self._throttle is not None and self._throttle.note_response(
            response, now, app_engine=app_engine
        ):
            self._adjust(now)

    @property
    def _share(self) -> float:
        return 1.0 if self._throttle is None else self._throttle.share

    def _adjust(self, now: int) -> None:
        burst = max(1, int(self.settings.burst * self._share))
        self._token_bucket.adjust(self.rate, burst, now)


class LogBudget:
    """Limits the log lines per second, so that retries cannot flood the log."""

    def __init__(self) -> None:
        self._second = 0
        self._left = _LOG_LINES_A_SECOND
        self._held_back = 0

    def ask(self, now: int) -> int | None:
        """Return how many lines were dropped since the last one, or None to drop this one.

        Args:
            now: The current time in microseconds.
        """
        second = now // SECOND
        if second != self._second:
            self._second, self._left = second, _LOG_LINES_A_SECOND
        if not self._left:
            self._held_back += 1
            return None
        self._left -= 1
        held_back, self._held_back = self._held_back, 0
        return held_back
