"""What a function's process changes about itself when it is debugged."""

from adjourn.concurrency import TimeLimits
from adjourn_local.runtime import debugger


def test_no_limit_of_time_ends_a_task(monkeypatch):
    monkeypatch.setattr(TimeLimits, "limit", TimeLimits.limit)

    debugger.take_time()

    with TimeLimits().limit(-1.0, RuntimeError):
        assert sum(range(100_000))
