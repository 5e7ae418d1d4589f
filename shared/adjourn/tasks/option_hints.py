"""Hints at the option that was meant."""

from __future__ import annotations

from collections.abc import Collection

from adjourn.error_text import nearest

# What the options are called elsewhere.
_ELSEWHERE = {
    "at": "eta",
    "backoff": "min_backoff",
    "countdown": "delay",
    "deadline": "timeout",
    "every": "interval",
    "jitter": "spread",
    "max_attempts": "max_retries",
    "queue_name": "queue",
    "result_ttl": "keep_result",
    "retries": "max_retries",
    "run_at": "eta",
    "schedule": "cron",
    "schedule_time": "eta",
    "task_name": "call_name",
    "time_limit": "timeout",
    "ttl": "expires",
    "tz": "time_zone",
}


def hint(name: str, known: Collection[str]) -> str:
    """Return what was probably meant by an unknown option, or which ones there are."""
    elsewhere = _ELSEWHERE.get(name)
    near = elsewhere if elsewhere in known else nearest(name, known)
    return f"did you mean {near!r}?" if near else f"there are: {', '.join(sorted(known))}"
