"""A dry run tells what would be done, and does nothing."""

import datetime as dt
import json

import pytest
from google.cloud import datastore

from adjourn import (
    DeclarationError,
    DeleteEntitiesIter,
    QueryIter,
    Status,
    UpdateEntitiesIter,
)
from adjourn.errors import UnknownNameError
from adjourn.execution.delivery import Outcome
from adjourn.iteration.runs import Run, run_key
from adjourn.registry import Registry
from adjourn.testing import MemoryQuery

QUERY = MemoryQuery("Product")


class Reprice(QueryIter):
    """Would change cheap ones, and does not know what to do with some."""

    max_failures = 0

    def dry_run_entry(self, entry, custom_data):
        custom_data["seen"] = entry
        if entry == 7:
            raise KeyError("price")
        return custom_data["word"] if entry < 5 else None

    def _refuse(self, *_):
        raise AssertionError("it is a dry run")

    handle_entry = handle_error = handle_finish = on_start = on_pause = on_cancel = _refuse


def declared(app, base, **members):
    return app.query_iter(type("Walk", (base,), {"__module__": __name__, **members}))


def products(box, count):
    for n in range(count):
        entity = datastore.Entity(datastore.Key("Product", f"n{n:04}", project="sandbox"))
        entity["n"] = n
        box.queries.add("Product", entity)


def stored(box):
    return [dict(each) for each in box.queries.entries("Product")]


@pytest.mark.parametrize("shards", [1, 3])
def test_the_answers_of_a_class_are_counted(app, box, shards):
    box.queries.add("Product", *range(10))

    run = declared(app, Reprice).start(
        QUERY, {"word": "reprice"}, shards=shards, dry_run=True, name="spring"
    )
    box.drain()

    state = run.fetch()
    assert (state.status, state.done, state.errors) == (Status.FINISHED, 10, 1)
    assert state.dry_run.counts == {"reprice": 5, "leave": 4}
    assert state.dry_run.samples == [(str(n), "reprice") for n in range(5)]
    assert [each.message for each in run.failures()] == ["KeyError: 'price'"]


@pytest.mark.parametrize("step_seconds", [None, 1e-9])
def test_nothing_is_deleted(app, box, step_seconds):
    products(box, 1200)
    walk = declared(app, DeleteEntitiesIter, step_seconds=step_seconds)

    run = walk.start(QUERY, shards=2, dry_run=True)
    box.drain()

    state = run.fetch()
    assert (state.status, state.done) == (Status.FINISHED, 1200)
    assert state.dry_run.counts == {"delete": 1200}
    assert state.dry_run.samples == [(f"Product/n{n:04}", "delete") for n in range(20)]
    assert len(stored(box)) == 1200


def test_nothing_is_updated(app, box):
    products(box, 100)
    before = stored(box)

    def update_entry(_self, entry, custom_data):
        if entry["n"] == 42:
            raise ValueError("no price")
        entry["n"] *= custom_data
        return entry["n"] != 0

    run = declared(app, UpdateEntitiesIter, update_entry=update_entry).start(QUERY, 2, dry_run=True)
    box.drain()

    state = run.fetch()
    assert (state.status, state.done, state.errors) == (Status.FINISHED, 100, 1)
    assert state.dry_run.counts == {"update": 98, "leave": 1}
    assert state.failures[0].entry == "Product/n0042"
    assert stored(box) == before


def test_what_is_no_entity_is_not_updated_either(app, box):
    entries = [{"n": n} for n in range(3)]
    box.queries.add("Product", *entries)

    def update_entry(_self, entry, _data):
        entry["n"] = "changed"

    run = declared(app, UpdateEntitiesIter, update_entry=update_entry).start(QUERY, dry_run=True)
    box.drain()

    assert run.fetch().dry_run.counts == {"update": 3}
    assert entries == [{"n": n} for n in range(3)]


def test_a_class_that_cannot_say_what_it_would_do_is_refused(app):
    walk = declared(app, QueryIter, handle_entry=lambda *_: None)
    with pytest.raises(DeclarationError, match="Walk needs dry_run_entry") as refused:
        walk.start(QUERY, dry_run=True)
    assert "returns what would be done with an entity without doing it" in str(refused.value)


def test_a_bulk_class_with_work_of_its_own_is_refused(app):
    walk = declared(app, DeleteEntitiesIter, handle_batch=lambda *_: None)

    with pytest.raises(DeclarationError, match="Walk needs dry_run_entry"):
        walk.start(QUERY, dry_run=True)


def test_a_bulk_class_may_say_more(app, box):
    products(box, 3)
    walk = declared(app, DeleteEntitiesIter, dry_run_entry=lambda _self, entry, _: entry.key.name)

    run = walk.start(QUERY, dry_run=True)
    box.drain()

    assert run.fetch().dry_run.counts == {"n0000": 1, "n0001": 1, "n0002": 1}
    assert len(stored(box)) == 3


def test_different_answers_are_counted_up_to_a_limit(app, box):
    box.queries.add("Product", *range(80))
    members = {"dry_run_entry": lambda _self, entry, _data: f"{entry} " + "x" * 500}
    walk = declared(app, QueryIter, handle_entry=lambda *_: None, **members)

    run = walk.start(QUERY, dry_run=True)
    box.drain()

    counts = run.fetch().dry_run.counts
    assert len(counts) == 51
    assert counts["(other answers)"] == 30
    assert max(map(len, counts)) == 200


def test_another_answer_than_a_text_is_told(app, box):
    box.queries.add("Product", 1)
    walk = declared(
        app, QueryIter, handle_entry=lambda *_: None, dry_run_entry=lambda *_: {"price": 1}
    )

    run = walk.start(QUERY, dry_run=True)
    box.drain()

    assert run.fetch().failures[0].message == (
        "TypeError: dry_run_entry must return a text or None, not dict"
    )


def test_the_run_itself_is_another_than_its_dry_run(app, box):
    """Also under the same name, and what failed in a dry run is not handled for real."""
    products(box, 5)
    walk = declared(app, DeleteEntitiesIter)
    dry = walk.start(QUERY, name="old", dry_run=True)
    assert not walk.start(QUERY, name="old", dry_run=True).is_new
    box.drain()
    assert len(stored(box)) == 5

    run = walk.start(QUERY, name="old")
    box.drain()

    assert run.is_new
    assert run.fetch().dry_run is None
    assert stored(box) == []
    assert {each.id for each in app.runs().find(iteration=walk.registered_name)} == {
        dry.id,
        run.id,
    }


def test_a_rerun_of_a_dry_run_is_dry(app, box):
    box.queries.add("Product", *range(10))
    run = declared(app, Reprice).start(QUERY, {"word": "reprice"}, dry_run=True)
    box.drain()

    again = run.rerun_failed()
    box.drain()

    state = again.fetch()
    assert (state.status, state.done, state.errors) == (Status.FINISHED, 1, 1)
    assert state.dry_run.counts == {}


def test_it_is_paused_resumed_and_cancelled_without_hooks(app, box):
    box.queries.add("Product", *range(10))

    def dry_run_entry(_self, _entry, _data):
        box.clock.advance(dt.timedelta(seconds=1))
        return "reprice"

    members = {"step_seconds": 1, "batch_size": 1, "dry_run_entry": dry_run_entry}
    walk = declared(app, Reprice, **members)
    run = walk.start(QUERY, {"word": "reprice"}, dry_run=True)
    for _ in range(3):
        box.deliver(box.queue.due()[0])
    run.pause()
    box.drain()
    assert run.fetch().status is Status.PAUSED
    assert run.fetch().dry_run.counts == {"reprice": 3}

    run.resume()
    box.deliver(box.queue.due()[0])
    run.cancel()
    box.drain()

    assert run.fetch().status is Status.CANCELLED
    assert run.fetch().dry_run.counts == {"reprice": 4}


def test_a_revision_without_dry_runs_never_carries_one_out(app, box):
    """It reads the name of the class as it is stored, and does not know it."""
    products(box, 5)
    walk = declared(app, DeleteEntitiesIter)
    run = walk.start(QUERY, dry_run=True)
    (record,) = box.store.get([run_key(run.id)])
    registry = Registry("iteration")
    registry.add(walk.registered_name, walk, ())

    with pytest.raises(UnknownNameError):
        registry.get(record["iteration"])

    # It writes back what it knows; the run stays what it is.
    assert Run.from_record(run.id, json.loads(json.dumps(record, default=str)) | record).is_dry
    assert box.drain()[-1] is Outcome.DONE
    assert len(stored(box)) == 5


def test_no_class_may_be_named_like_a_dry_run(app):
    with pytest.raises(DeclarationError, match="must not end with"):
        app.query_iter(name="Walk (dry run)")(type("Walk", (DeleteEntitiesIter,), {}))
