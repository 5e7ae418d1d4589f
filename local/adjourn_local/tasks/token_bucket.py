"""The token bucket that bounds how fast a queue dispatches."""

from adjourn_local.timing.timestamps import SECOND


class TokenBucket:
    """Holds up to `burst` tokens, gains `rate` a second and loses one for each dispatch."""

    def __init__(self, rate: float, burst: int, now: int) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._at = now

    def ready_at(self, now: int) -> int:
        """Return when a whole token is there: `now` or later, in microseconds."""
        self._fill(now)
        if self._tokens >= 1:
            return now
        return now + max(1, -int((self._tokens - 1) * SECOND // self._rate))

    def take(self, now: int) -> None:
        """Spend a token, which `ready_at` has said is there."""
        self._fill(now)
        self._tokens -= 1

    def adjust(self, rate: float, burst: int, now: int) -> None:
        """Go on with new limits and the tokens held, so that an update is no second burst."""
        self._fill(now)
        self._rate, self._burst = rate, burst
        self._tokens = min(self._tokens, burst)

    def _fill(self, now: int) -> None:
        gained = max(0, now - self._at) * self._rate / SECOND
        self._tokens = min(float(self._burst), self._tokens + gained)
        self._at = now
