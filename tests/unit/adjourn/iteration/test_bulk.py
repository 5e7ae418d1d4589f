"""All entities of a query are deleted or updated, and those that fail are reported."""

import datetime as dt

import pytest
from google.cloud.datastore import Entity, Key

import adjourn
from adjourn import Status
from adjourn.errors import StoreError
from adjourn.execution.delivery import Outcome
from adjourn.testing import MemoryQuery
from tests.unit.adjourn.iteration.test_query_iter_hooks import drain

QUERY = MemoryQuery("Order")
MINUTE = dt.timedelta(minutes=1)


@pytest.fixture
def orders(box):
    box.queries.add("Order", *({"n": n} for n in range(10)))

    def left():
        return [entry["n"] for entry in box.queries.entries("Order")]

    return left


@pytest.fixture
def delete(app):
    class Delete(adjourn.DeleteEntitiesIter):
        batch_size = 4

    return app.query_iter(name="delete")(Delete)


@pytest.fixture
def update(app, ran):
    class Tenfold(adjourn.UpdateEntitiesIter):
        batch_size = 4
        max_entry_retries = 1

        def update_entry(self, entry, custom_data):
            ran.append(entry["n"])
            entry["n"] *= custom_data["by"]
            if entry["n"] == 30:
                raise RuntimeError("broken")
            return entry["n"] != 40

    return app.query_iter(name="update")(Tenfold)


def away(box, monkeypatch, method, times):
    """Let Datastore be away for a while."""
    real, left = getattr(box.queries, method), [None] * times

    def fails(*arguments):
        if left:
            left.pop()
            raise StoreError("Datastore is away")
        return real(*arguments)

    monkeypatch.setattr(box.queries, method, fails)


def test_all_are_deleted(box, orders, delete):
    run = delete.start(QUERY)

    box.drain()

    assert orders() == []
    assert (run.fetch().status, run.fetch().done, run.fetch().total) == (Status.FINISHED, 10, 10)


@pytest.mark.parametrize(("name", "is_cut"), [("delete", True), ("update", True), ("walk", False)])
def test_only_keys_are_read(app, box, request, name, is_cut):
    real, asked = box.queries.describe, []

    def describe(query, **options):
        asked.append(options["keys_only"])
        return real(query, **options)

    box.queries.describe = describe
    if name == "walk":
        walk = type("Walk", (adjourn.QueryIter,), {"handle_entry": lambda *_: None})
        app.query_iter(name="walk")(walk).start(QUERY)
    else:
        request.getfixturevalue(name).start(QUERY)

    assert asked == [is_cut]


def test_all_are_updated_but_for_those_that_fail_or_need_not(box, orders, update, ran):
    run = update.start(QUERY, {"by": 10})

    drain(box)

    assert orders() == [0, 10, 20, 3, 4, 50, 60, 70, 80, 90]
    assert ran == [*range(10), 3]  # the others of its batch were not updated once more
    state = run.fetch()
    assert (state.status, state.done, state.errors) == (Status.FINISHED, 10, 1)
    assert state.last_error == "RuntimeError: broken"


@pytest.fixture(params=[("delete", "delete"), ("update", "change")], ids=["delete", "update"])
def hindered(request, box, monkeypatch):
    name, method = request.param
    away(box, monkeypatch, method, times=5)
    return request.getfixturevalue(name)


def test_no_entity_is_to_blame_when_datastore_is_away(box, orders, hindered):
    run = hindered.start(QUERY, {"by": 1})

    (first,) = box.queue.tasks.values()
    assert [box.deliver(first) for _ in range(5)] == [Outcome.TROUBLE] * 5
    assert (run.fetch().waiting, run.fetch().errors) == (0, 0)
    assert orders() == list(range(10))

    box.drain()
    assert (run.fetch().status, run.fetch().done) == (Status.FINISHED, 10)


def test_an_entity_that_waits_to_be_tried_again_waits_on_while_datastore_is_away(
    box, orders, update, monkeypatch
):
    run = update.start(QUERY, {"by": 10})
    box.drain()
    assert run.fetch().waiting == 1
    away(box, monkeypatch, "change", times=1)
    box.clock.advance(MINUTE)

    assert box.drain() == [Outcome.TROUBLE]
    assert (run.fetch().waiting, run.fetch().done) == (1, 9)

    drain(box)
    state = run.fetch()
    assert (state.status, state.done, state.errors) == (Status.FINISHED, 10, 1)
    assert orders()[3] == 3


@pytest.mark.parametrize("hook", ["handle_entry", "handle_batch"])
def test_what_a_hook_does_to_a_key_does_not_change_which_entity_comes_again(app, box, hook):
    seen = []

    class Copy(adjourn.QueryIter):
        pass

    def copy(_self, given, _custom_data):
        entries = given if isinstance(given, list) else [given]
        seen.extend(entry.key.name for entry in entries if entry.key.kind == "Order")
        is_first = len(seen) <= 2
        for entry in entries:
            entry.key = Key("Copy", project="p")
        if is_first and hook == "handle_entry":
            raise RuntimeError("broken")
        return [RuntimeError("broken")] * len(entries) if is_first else None

    setattr(Copy, hook, copy)
    keys = [Key("Order", name, project="p") for name in ("a", "b")]
    box.queries.add("Order", *(Entity(key) for key in keys))
    run = app.query_iter(name="copy")(Copy).start(QUERY)

    drain(box)

    assert seen == ["a", "b", "a", "b"]
    assert (run.fetch().status, run.fetch().done) == (Status.FINISHED, 2)


def test_other_classes_have_the_entity_to_blame(app, box, orders, ran):  # noqa: ARG001 - they fill the query
    class Walk(adjourn.QueryIter):
        def handle_entry(self, entry, custom_data):  # noqa: ARG002
            ran.append(entry["n"])
            raise StoreError("its own")

    run = app.query_iter(name="walk")(Walk).start(QUERY)

    box.drain()

    assert ran == list(range(10))
    assert run.fetch().waiting == 10


def later(self, entry, custom_data):
    yield self, entry, custom_data


@pytest.mark.parametrize(
    ("base", "members", "message"),
    [
        (adjourn.UpdateEntitiesIter, {}, "needs update_entry"),
        (adjourn.UpdateEntitiesIter, {"update_entry": later}, "is a generator"),
        (
            adjourn.DeleteEntitiesIter,
            {"load": lambda _, e: e},
            "gets keys alone and handles them itself; leave load out",
        ),
        (adjourn.DeleteEntitiesIter, {"handle_entry": lambda *_: None}, "leave handle_entry out"),
    ],
)
def test_what_makes_no_sense_is_refused(app, base, members, message):
    with pytest.raises(adjourn.DeclarationError, match=message):
        app.query_iter(name="walk")(type("Walk", (base,), members))
