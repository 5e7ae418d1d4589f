"""A token bucket, which limits the rate of dispatches."""

from adjourn_local.timing.timestamps import SECOND


class TokenBucket:
    """Holds up to `burst` tokens; `rate` tokens a second are added, and each dispatch takes one."""

    def __init__(self, rate: float, burst: int, now: int) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._at = now

    def ready_at(self, now: int) -> int:
        """Return the time, in microseconds, at which a token is available: `now` or later."""
        self._fill(now)
        if self._tokens >= 1:
            return now
        return now + max(1, -int((self._tokens - 1) * SECOND // self._rate))

    def take(self, now: int) -> None:
        """Take a token; call it only when `ready_at` has returned `now`."""
        self._fill(now)
        self._tokens -= 1

    def adjust(self, rate: float, burst: int, now: int) -> None:
        """Change the limits; the tokens are kept, so that a change allows no second burst."""
        self._fill(now)
        self._rate, self._burst = rate, burst
        self._tokens = min(self._tokens, burst)

    def _fill(self, now: int) -> None:
        gained = max(0, now - self._at) * self._rate / SECOND
        self._tokens = min(float(self._burst), self._tokens + gained)
        self._at = now
