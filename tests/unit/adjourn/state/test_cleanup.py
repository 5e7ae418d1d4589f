"""Expired records are deleted, so many at a time, and no others."""

import datetime as dt
import re
from dataclasses import replace
from pathlib import Path

import pytest

import adjourn
from adjourn.execution.delivery import Outcome
from adjourn.ports import RecordKey
from adjourn.state import cleanup
from adjourn.state.cleanup import KINDS, Cleaner
from adjourn.testing import SETTINGS, FakeClock, MemoryStore, sandbox

SECOND = dt.timedelta(seconds=1)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def cleaner(store, clock):
    return Cleaner(store=store, clock=clock)


def test_what_has_expired_is_deleted_of_every_kind(cleaner, store, clock, lines):
    for kind in KINDS:
        store.put(RecordKey(kind, "old"), {"expires_at": clock.now() - SECOND})
        store.put(RecordKey(kind, "new"), {"expires_at": clock.now() + SECOND})
        store.put(RecordKey(kind, "endless"), {"n": 1})
    store.put(RecordKey("Order", "old"), {"expires_at": clock.now() - SECOND})

    assert cleaner.clean_up() == len(KINDS)

    left = {(key.kind, key.name) for key in store.records}
    assert left == {(kind, name) for kind in KINDS for name in ("new", "endless")} | {
        ("Order", "old")
    }
    (line,) = lines()
    assert (line["event"], line["severity"]) == ("cleanup.done", "INFO")
    assert line["records"] == len(KINDS)


def test_nothing_is_said_of_nothing(cleaner, lines):
    assert cleaner.clean_up() == 0
    assert lines() == []


def test_one_run_deletes_a_bounded_number(cleaner, store, clock, monkeypatch):
    monkeypatch.setattr(cleanup, "_MOST", 20)
    for kind in KINDS[:2]:
        for n in range(15):
            store.put(RecordKey(kind, f"{n}"), {"expires_at": clock.now() - SECOND})

    assert [cleaner.clean_up() for _ in range(3)] == [20, 10, 0]


def test_what_is_renewed_meanwhile_stays(cleaner, store, clock):
    key = RecordKey(KINDS[0], "claim")
    store.put(key, {"expires_at": clock.now() - SECOND})
    find = store.names

    def found_and_renewed(kind, **query):
        names = find(kind, **query)
        store.put(key, {"expires_at": clock.now() + SECOND})
        return names

    store.names = found_and_renewed

    assert cleaner.clean_up() == 0
    assert store.get([key]) != [None]


class TestTurnedOn:
    """The setting turns it on; the cron name "adjourn" is then one of the application's."""

    @pytest.fixture
    def cleaning(self, app):
        with sandbox(app, settings=replace(SETTINGS, cleanup=True)) as box:
            yield box

    def test_it_runs_when_its_job_calls(self, cleaning):
        old = RecordKey(KINDS[0], "old")
        cleaning.store.put(old, {"expires_at": cleaning.clock.now() - SECOND})

        assert cleaning.tick("adjourn") is Outcome.DONE
        cleaning.drain()

        assert cleaning.store.get([old]) == [None]

    def test_its_cron_name_is_declared_once(self, app, monkeypatch):
        assert app.cron_names() == set()

        monkeypatch.setenv("ADJOURN_CLEANUP", "true")
        assert app.cron_names() == app.cron_names() == {"adjourn"}
        with sandbox(app, settings=replace(SETTINGS, cleanup=True)):
            assert app.cron_names() == {"adjourn"}

    def test_it_is_off_unless_it_is_turned_on(self, app):
        with sandbox(app) as box:
            assert box.tick("adjourn") is not Outcome.DONE


def test_all_kinds_that_expire_are_known():
    sources = [path.read_text() for path in Path(adjourn.__file__).parent.rglob("*.py")]
    expiring = {
        kind
        for source in sources
        if re.search(r'"expires_at"|\bexpires_at: ', source)
        for kind in re.findall(r'^KIND = "(\w+)"$', source, re.MULTILINE)
    }

    assert expiring == set(KINDS)
