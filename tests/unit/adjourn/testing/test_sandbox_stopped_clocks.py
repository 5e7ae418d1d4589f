"""Applications and their tests may stop the clock with freezegun or time-machine."""

import datetime as dt
from contextlib import nullcontext

import pytest
import time_machine
from freezegun import freeze_time

from adjourn.clock import SystemClock
from adjourn.serialization.codec import Codec
from adjourn.testing import fake, inline

NOON = dt.datetime(2031, 11, 23, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
STOPS = {
    "freezegun": lambda: freeze_time(NOON),
    "freezegun-ticks": lambda: freeze_time(NOON, tick=True),
    "time-machine": lambda: time_machine.travel(NOON, tick=False),
    "time-machine-ticks": lambda: time_machine.travel(NOON, tick=True),
    "not": nullcontext,
}


@pytest.fixture(params=STOPS)
def stopped(request):
    with STOPS[request.param]():
        yield


@pytest.fixture
def send(app, ran):
    @app.deferred(name="send", timeout=30, once=True)
    def send(*values):
        ran.append(values)

    return send


def now_in_all_forms():
    now = dt.datetime.now(dt.UTC)
    naive = dt.datetime.now()  # noqa: DTZ005 - a value like others
    return now, naive, now.date(), dt.date.today(), naive.time(), now - now, {now.date(): [now]}  # noqa: DTZ011


@pytest.mark.usefixtures("stopped")
def test_times_of_now_travel_as_what_they_are(app, send, ran):
    values = now_in_all_forms()

    with fake(app) as box:
        send(*values)
        box.drain()

    assert ran == [values]
    kinds = [type(each).__name__ for each in ran[0]]
    assert kinds == ["datetime", "datetime", "date", "date", "time", "timedelta", "dict"]


@pytest.mark.usefixtures("stopped")
def test_delays_and_starts_are_by_the_sandboxs_clock(app, send, ran):
    with inline(app) as box:
        send.options(delay=HOUR).defer("delayed")
        send.options(eta=box.clock.now() + 2 * HOUR, expires=HOUR).defer("at")
        box.travel(by=HOUR)
        assert ran == [("delayed",)]
        box.travel(by=HOUR)

    assert ran == [("delayed",), ("at",)]


def test_what_was_made_while_the_clock_stood_is_encoded_later():
    with freeze_time(NOON):
        values = list(now_in_all_forms())

    decoded = Codec().loads(Codec().dumps(values))

    assert decoded == values
    assert [type(each) for each in decoded[:4]] == [dt.datetime, dt.datetime, dt.date, dt.date]


@pytest.mark.parametrize("name", [name for name in STOPS if "ticks" not in name and name != "not"])
def test_the_clock_stands_and_time_limits_go_on(name):
    clock = SystemClock()

    with STOPS[name]():
        assert clock.now() == NOON
        first = clock.monotonic()
        passed = any(clock.monotonic() > first for _ in range(10_000_000))

    assert passed
