"""The one back-off curve that Cloud Tasks and Cloud Scheduler share."""

_BEYOND_ANY_MAXIMUM = 1000


def backoff(retry: int, *, minimum: float, maximum: float, doublings: int) -> float:
    """Return the seconds before retry number `retry`, where 1 is the first.

    The interval doubles `doublings` times, then grows linearly by the last doubled step, and never
    exceeds `maximum` (documented at `google.cloud.tasks_v2.types.RetryConfig.max_doublings`).
    """
    doubled = min(retry - 1, doublings)
    factor = 2.0 ** min(doubled, _BEYOND_ANY_MAXIMUM)
    return min(maximum, minimum * factor * (retry - doubled))
