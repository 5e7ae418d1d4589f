"""Who waits for an export, and for how long."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from opentelemetry import metrics, trace

from adjourn.errors import TaskTimeoutError
from adjourn.requests import observed_delivery
from adjourn.telemetry.flushing import Exporting, Flusher
from adjourn.testing import SETTINGS, sandbox

PATIENCE = 30


class Collector:
    """A collector that answers when it is told to."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.answer = threading.Semaphore(0)
        self.exports = 0

    def __call__(self) -> None:
        self.asked.release()
        assert self.answer.acquire(timeout=PATIENCE)
        self.exports += 1


@pytest.fixture
def collector():
    return Collector()


@pytest.fixture
def flusher(collector):
    flusher = Flusher(collector)
    threading.Thread(target=flusher.work, daemon=True).start()
    return flusher


def test_who_flushes_waits_until_all_is_exported(flusher, collector):
    collector.answer.release()

    assert flusher.flush(PATIENCE)
    assert collector.exports == 1


def test_one_export_serves_all_that_wait_when_it_begins(flusher, collector):
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(flusher.flush, PATIENCE)
        assert collector.asked.acquire(timeout=PATIENCE)
        others = [pool.submit(flusher.flush, PATIENCE) for _ in range(4)]
        while flusher._asked < 5:
            pass
        collector.answer.release(2)
        assert first.result(PATIENCE)
        assert all(each.result(PATIENCE) for each in others)

    assert collector.exports == 2


def test_nobody_waits_for_a_collector_that_is_known_to_be_slow(flusher, collector):
    assert not flusher.flush(0.01)

    assert not flusher.flush(PATIENCE)  # at once

    collector.answer.release(2)
    while flusher._done < 2:
        pass
    collector.answer.release()
    assert flusher.flush(PATIENCE)


def test_who_has_no_time_waits_for_nothing(flusher, collector):
    assert not flusher.flush(0)
    assert collector.asked.acquire(timeout=PATIENCE)
    collector.answer.release()


class Provider:
    def __init__(self) -> None:
        self.flushed = 0

    def force_flush(self) -> None:
        self.flushed += 1
        raise RuntimeError("the collector is on fire")


def test_metrics_are_exported_once_a_minute_and_errors_are_logged(monkeypatch, lines):
    spans, numbers, now = Provider(), Provider(), [1000.0]
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: spans)
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: numbers)
    export = Exporting(lambda: now[0])

    for now[0] in (1000, 1059, 1060):
        export()

    assert (spans.flushed, numbers.flushed) == (3, 2)
    assert {each["event"] for each in lines()} == {"telemetry.failed"}


def test_providers_of_no_sdk_are_left_alone(monkeypatch):
    monkeypatch.setattr(trace, "get_tracer_provider", object)
    monkeypatch.setattr(metrics, "get_meter_provider", object)

    Exporting()()


@pytest.fixture
def flushed(monkeypatch):
    """Return the seconds for which deliveries have waited."""
    found = []
    monkeypatch.setattr(observed_delivery, "flush", found.append)
    return found


@pytest.mark.parametrize(
    ("error", "seconds"), [(None, 5), (RuntimeError(), 5), (TaskTimeoutError(), 0)]
)
@pytest.mark.usefixtures("observed")
def test_a_delivery_that_has_used_up_its_time_does_not_wait(app, flushed, error, seconds):
    @app.deferred(name="work")
    def work():
        if error:
            raise error

    with sandbox(app, settings=replace(SETTINGS, telemetry_flush=5)) as box:
        work()
        box.drain()

    assert flushed == [seconds]


@pytest.mark.usefixtures("observed")
def test_where_the_cpu_stays_and_for_strangers_nothing_is_waited_for(app, box, flushed):
    @app.deferred(name="work")
    def work(): ...

    work()
    box.drain()
    with sandbox(app, settings=replace(SETTINGS, telemetry_flush=5)) as other:
        delivery = other.delivery(SETTINGS.deferred_url, b"")._replace(authorization=[])
        other.wiring.receive_task(delivery)

    assert flushed == []
