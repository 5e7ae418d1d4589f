"""Exponential back-off as Cloud Tasks and Cloud Scheduler compute it."""

_BEYOND_ANY_MAXIMUM = 1000


def backoff(retry: int, *, minimum: float, maximum: float, doublings: int) -> float:
    """Return the seconds to wait before retry number `retry`; the first retry is 1.

    The interval doubles `doublings` times, then grows linearly by the last doubled step, and never
    exceeds `maximum` (documented at `google.cloud.tasks_v2.types.RetryConfig.max_doublings`).
    """
    doubled = min(retry - 1, doublings)
    factor = 2.0 ** min(doubled, _BEYOND_ANY_MAXIMUM)
    return min(maximum, minimum * factor * (retry - doubled))
