"""System throttling: a queue slows down while its worker asks for it.

That Cloud Tasks dispatches less after 429 and 503, considers Retry-After and speeds up again with
successful dispatches is documented (`HttpRequest`), by how much is not. The numbers are a model.
"""

from adjourn_local.http.sender import HandlerResponse
from adjourn_local.timing.timestamps import SECOND

_SMALLEST = 1 / 64
_SLOWER = 1 / 2
_FASTER = 1.25
_TOO_MANY_REQUESTS = 429
_UNAVAILABLE = 503


class Throttle:
    """The share of its rate that a queue may use, and until when it must wait."""

    def __init__(self) -> None:
        self.share = 1.0
        self.until = 0
        self._slowed = 0

    def heard(self, answer: HandlerResponse, now: int, *, app_engine: bool) -> bool:
        """Take note of a worker's answer and tell whether anything changed.

        Attempts that were under way together count as one: the share falls once a second at most.

        Args:
            answer: The answer.
            now: The present in microseconds.
            app_engine: Whether the worker is an App Engine service, whose 429 is its own affair.
        """
        before = self.share, self.until
        if answer.status == _UNAVAILABLE or (
            answer.status == _TOO_MANY_REQUESTS and not app_engine
        ):
            if now - self._slowed >= SECOND:
                self._slowed = now
                self.share = max(_SMALLEST, self.share * _SLOWER)
            if answer.retry_after is not None:
                self.until = max(self.until, now + round(answer.retry_after * SECOND))
        elif answer.status is not None and answer.status < 300:  # noqa: PLR2004 - success
            self.share = min(1.0, self.share * _FASTER)
        return (self.share, self.until) != before
