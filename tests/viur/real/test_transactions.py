"""Calls in a transaction of ViUR's own stand and fall with it, and nothing was configured."""

import pytest
from google.api_core import exceptions
from google.cloud import datastore
from viur.core import db

from adjourn.viur import app
from tests.viur.real import world, worlds
from tests.viur.real.world import PROJECT

MARKER = "AdjournMarker"


def markers():
    client = datastore.Client(project=PROJECT)
    return {key.name for key in (each.key for each in client.query(kind=MARKER).fetch())}


@pytest.fixture
def probe(adjourn_world):
    worlds.clear()
    return adjourn_world.module("probe")


def test_a_call_runs_after_the_commit_and_sees_what_was_committed(adjourn_world, probe):
    def work():
        db.Put(db.Entity(db.Key("thing", "committed")))
        return probe.remember("call", "made")

    before = markers()
    handle = db.RunInTransaction(work)
    assert handle.id in markers() - before
    adjourn_world.settle()

    assert "remembered/call" in worlds.effects("transactions")


def test_a_call_is_dropped_with_what_is_rolled_back(adjourn_world, probe):
    def work():
        db.Put(db.Entity(db.Key("thing", "gone")))
        probe.remember("call", "made")
        raise ValueError("roll back")

    before = markers()
    with pytest.raises(ValueError, match="roll back"):
        db.RunInTransaction(work)
    adjourn_world.settle()

    assert markers() == before
    assert worlds.effects("transactions") == {}


def test_a_transaction_that_met_another_one_makes_its_calls_once(adjourn_world, probe):
    tries = []
    db.Put(db.Entity(db.Key("thing", "contended")))

    def work():
        entity = db.Get(db.Key("thing", "contended"))
        tries.append(probe.remember(f"call-{len(tries)}", "made").id)
        if len(tries) == 1:
            raise conflict()
        entity["tries"] = len(tries)
        db.Put(entity)

    db.RunInTransaction(work)
    adjourn_world.settle()

    made = [key for key in worlds.effects("transactions") if key.startswith("remembered/")]
    assert (len(tries), made) == (2, ["remembered/call-1"])


def conflict():
    """Return what ViUR's db raises where a commit has lost to another one."""
    if world.is_older():
        return db.CollisionError("another transaction was faster")
    return exceptions.Aborted("another transaction was faster")


def test_a_call_outside_of_any_is_not_guarded(adjourn_world, probe):
    before = markers()

    probe.remember("call", "made")
    adjourn_world.settle()

    assert markers() == before
    assert "remembered/call" in worlds.effects("transactions")


def test_an_iteration_that_is_started_in_one_begins_with_the_commit(adjourn_world, probe):
    db.Put(db.Entity(db.Key("thing", "one")))

    def work():
        probe.Walk.startIterOnQuery(db.Query("thing"), {"name": "in-one", "keys": []})
        raise ValueError("roll back")

    with pytest.raises(ValueError, match="roll back"):
        db.RunInTransaction(work)
    db.RunInTransaction(
        lambda: probe.Walk.startIterOnQuery(db.Query("thing"), {"name": "committed", "keys": []})
    )
    adjourn_world.settle()

    assert "walked/in-one" not in worlds.effects("transactions")
    assert worlds.effects("transactions")["walked/committed"]["total"] == "1"


def test_the_current_transaction_is_found_and_only_while_it_is_open(adjourn_world):
    guard = app.wiring().adapters.transactions

    assert guard.current() is None
    assert db.RunInTransaction(guard.current) is not None
    assert guard.current() is None
