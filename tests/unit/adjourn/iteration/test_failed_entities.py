"""All entities that a run gave up are kept, listed, and handled once more."""

import pytest
from google.cloud import datastore

from adjourn import DeclarationError, QueryIter, Status
from adjourn.iteration.shards import shard_key
from adjourn.testing import MemoryQuery

QUERY = MemoryQuery("Order")


class Walk(QueryIter):
    """Fails for some entities."""

    max_entry_retries = 0
    broken: set[int]
    notes: list[object]

    def handle_entry(self, entry, custom_data):
        if entry in self.broken:
            raise RuntimeError(f"broken {entry}")
        self.notes.append(entry)
        custom_data["sum"] += entry

    def handle_finish(self, total_count, custom_data):
        self.notes.append((total_count, custom_data["sum"]))

    def on_start(self, custom_data):
        self.notes.append(("begun", custom_data["sum"]))

    def merge(self, first, second):
        return {"sum": first["sum"] + second["sum"]}


@pytest.fixture
def declare(app, ran):
    def declared(broken, **members):
        named = {"__module__": __name__, "notes": ran, "broken": set(broken)}
        return app.query_iter(type("Walk", (Walk,), named | members))

    return declared


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("step_seconds", [None, 0.001])
def test_all_failures_are_kept(box, declare, shards, step_seconds):
    broken = range(0, 3000, 2)
    box.queries.add("Order", *range(3000))
    run = declare(broken, step_seconds=step_seconds).start(QUERY, {"sum": 0}, shards=shards)
    box.drain()

    found = list(run.failures())

    assert (run.fetch().errors, len(run.fetch().failures)) == (1500, 20)
    assert sorted(each.message for each in found) == sorted(
        f"RuntimeError: broken {n}" for n in broken
    )
    assert all(
        len(box.store.get([shard_key(run.id, n)])[0]["failed"]) <= 50_000 for n in range(shards)
    )


def test_what_failed_is_handled_once_more_and_nothing_else(box, declare, ran):
    broken = range(0, 500, 2)
    box.queries.add("Order", *range(500))
    walk = declare(broken)
    run = walk.start(QUERY, {"sum": 0}, shards=2)
    box.drain()
    first_sum = ran[-1][1]
    ran.clear()
    walk.broken = {0, 4}

    again = run.rerun_failed()
    box.drain()

    handled = set(broken) - walk.broken
    assert ran[0] == ("begun", first_sum)
    assert sorted(ran[1:-1]) == sorted(handled)
    assert ran[-1] == (250, first_sum + sum(handled))
    state = again.fetch()
    assert (state.status, state.done, state.total, state.errors) == (Status.FINISHED, 250, 250, 2)
    assert {each.message for each in again.failures()} == {
        "RuntimeError: broken 0",
        "RuntimeError: broken 4",
    }
    assert run.fetch().errors == 250


def test_entities_of_datastore_are_found_by_their_keys(app, box, ran):
    def key(n):
        return datastore.Key("Product", f"n{n}", project="sandbox")

    for n in range(5):
        entity = datastore.Entity(key(n))
        entity["n"] = n
        box.queries.add("Product", entity)
    is_broken = [True]

    def handle_entry(_self, entry, _data):
        if is_broken[0] and entry["n"] in {1, 3}:
            raise RuntimeError("broken")
        ran.append(entry["n"])

    members = {"__module__": __name__, "max_entry_retries": 0, "handle_entry": handle_entry}
    run = app.query_iter(type("Sell", (QueryIter,), members)).start(MemoryQuery("Product"))
    box.drain()
    ran.clear()
    is_broken.clear()
    is_broken.append(False)
    box.queries.remove("Product", datastore.Entity(key(3)))

    again = run.rerun_failed()
    box.drain()

    assert ran == [1]
    assert (again.fetch().status, again.fetch().done) == (Status.FINISHED, 2)
    assert [each.entry for each in run.failures()] == ["Product/n1", "Product/n3"]


def test_a_run_that_goes_on_or_failed_in_nothing_is_refused(box, declare):
    box.queries.add("Order", 1)
    run = declare(()).start(QUERY, {"sum": 0})

    with pytest.raises(DeclarationError, match="is starting; wait for its end, or cancel it"):
        run.rerun_failed()
    box.drain()
    with pytest.raises(DeclarationError, match="gave no entity up"):
        run.rerun_failed()
