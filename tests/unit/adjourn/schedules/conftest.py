import datetime as dt

import pytest

from adjourn import current_task


@pytest.fixture
def report(app, ran):
    """Return a task that notes its arguments and when it was due; schedules are served."""
    app.schedules.serve()

    @app.deferred(name="report")
    def report(tenant: int, *, language: str = "en") -> None:
        ran.append((tenant, language, current_task().eta))

    return report


@pytest.fixture
def pass_minutes(box):
    """Return what lets minutes pass: the Scheduler calls in each, and tasks run."""

    def pass_minutes(count):
        for _ in range(count):
            box.travel(by=dt.timedelta(minutes=1))
            box.tick("schedules")
            box.drain()
        return box.clock.now()

    return pass_minutes
