"""System throttling: a queue slows down after responses with 429 or 503.

Documented is that Cloud Tasks dispatches more slowly after 429 and 503, considers Retry-After and
speeds up again after successes (`HttpRequest`). The rates are not documented; these are a model.
"""

from adjourn_local.http.sender import HandlerResponse
from adjourn_local.timing.timestamps import SECOND

_SMALLEST = 1 / 64
_SLOWER = 1 / 2
_FASTER = 1.25
_TOO_MANY_REQUESTS = 429
_UNAVAILABLE = 503


class Throttle:
    """The share of its rate that a queue may use, and the time until which it must wait."""

    def __init__(self) -> None:
        self.share = 1.0
        self.until = 0
        self._slowed = 0

    def note_response(self, response: HandlerResponse, now: int, *, app_engine: bool) -> bool:
        """Adjust to a handler's response, and return whether anything changed.

        Concurrent failures count as one: the share is reduced once a second at most.

        Args:
            response: The response.
            now: The current time in microseconds.
            app_engine: Whether the handler is an App Engine service, whose 429 does not count.
        """
        before = self.share, self.until
        if response.status == _UNAVAILABLE or (
            response.status == _TOO_MANY_REQUESTS and not app_engine
        ):
            if now - self._slowed >= SECOND:
                self._slowed = now
                self.share = max(_SMALLEST, self.share * _SLOWER)
            if response.retry_after is not None:
                self.until = max(self.until, now + round(response.retry_after * SECOND))
        elif response.status is not None and response.status < 300:  # noqa: PLR2004 - success
            self.share = min(1.0, self.share * _FASTER)
        return (self.share, self.until) != before
