"""A function that is misconfigured does not start and says every mistake."""

import logging

import pytest

from adjourn.application.start import start
from tests.unit import fresh_shop
from tests.unit.adjourn.test_settings import ENVIRONMENT


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    """Let no start find what an earlier one has made."""
    for app in (fresh_shop.app, fresh_shop.other):
        monkeypatch.setattr(app, "_wiring", None)


@pytest.fixture(autouse=True)
def _loggers():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_it_returns_the_working_parts_of_the_application(monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ADJOURN_APP", "tests.unit.fresh_shop:app")

    wiring = start()

    assert wiring.settings.project == "shop"


def test_every_mistake_is_told_and_nothing_else(monkeypatch):
    monkeypatch.setenv("ADJOURN_APP", "tests.unit.fresh_shop:other")
    monkeypatch.setenv("ADJOURN_QUEUE", "my_queue")

    with pytest.raises(SystemExit) as caught:
        start()

    told = str(caught.value)
    assert told.startswith("adjourn cannot start:\n")
    assert "- ADJOURN_PROJECT is not set" in told
    assert "- ADJOURN_QUEUE='my_queue'" in told
    assert caught.value.__suppress_context__


def test_a_declared_call_that_outlasts_the_function_is_told(monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ADJOURN_APP", "tests.unit.fresh_shop:other")
    monkeypatch.setenv("ADJOURN_FUNCTION_TIMEOUT", "59")

    with pytest.raises(SystemExit, match="timeout=0:01:00 of tests"):
        start()


def test_an_application_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setenv("ADJOURN_APP", "tests.unit.nowhere:app")

    with pytest.raises(SystemExit, match="is its folder on PYTHONPATH"):
        start()
