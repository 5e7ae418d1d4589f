"""Queries of ViUR's own, walked over on the laptop stack, have the results that ViUR has."""

import pytest
from viur.core import db

from adjourn.errors import DeclarationError
from tests.viur.real import world, worlds
from tests.viur.real.skeletons import ThingSkel

UP, DOWN = db.SortOrder.Ascending, db.SortOrder.Descending
SHOP = db.Key("shop", "north")

QUERIES = {
    "all": lambda query: query,
    "equal": lambda query: query.filter("colour =", "red"),
    "key": lambda query: query.filter("shop =", SHOP),
    "its-own-key": lambda query: query.filter("__key__ >", db.Key("thing", "t04")),
    "in": lambda query: query.filter("colour IN", ["red", "blue"]),
    "in-one": lambda query: query.filter("colour IN", ["red"]),
    "in-keys": lambda query: query.filter("shop IN", [SHOP, db.Key("shop", "south")]),
    "unequal": lambda query: query.filter("n !=", 3),
    "less": lambda query: query.filter("n <", 5).filter("n >", 1),
    "down": lambda query: query.order(("n", DOWN)),
    "two-orders": lambda query: query.order(("colour", UP), ("n", DOWN)),
    "of-several-values": lambda query: query.filter("tags =", ["x", "y"]),
}


@pytest.fixture(scope="module")
def things(adjourn_world):
    worlds.clear()
    for number in range(12):
        entity = db.Entity(db.Key("thing", f"t{number:02}"))
        entity.update(
            n=number % 7,
            name=f"Thing {number}",
            amount=number,
            colour=("red", "blue", "green")[number % 3],
            shop=db.Key("shop", ("north", "south", "west")[number % 3]),
            tags=["x", "y"] if number % 2 else ["x"],
        )
        db.Put(entity)


def walked(world, query, name):
    probe = world.module("probe")
    world.run(lambda: probe.Walk.startIterOnQuery(query, {"name": name, "keys": []}))
    found = db.Get(db.Key("walked", name))
    return list(found["keys"]), found["total"], found["type"]


@pytest.mark.usefixtures("things")
@pytest.mark.parametrize("name", QUERIES)
def test_a_query_has_the_results_that_viur_has(adjourn_world, name):
    make = QUERIES[name]
    there = [str(entity.key) for entity in make(db.Query("thing")).run(99)]

    keys, total, _ = walked(adjourn_world, make(db.Query("thing")), name)

    assert there
    assert sorted(keys) == sorted(there)
    if name not in {"in", "in-keys", "unequal"}:  # ViUR up to 3.7 merges what it asks for singly
        assert keys == there
    assert total == len(there)


@pytest.mark.usefixtures("things")
def test_a_cursor_is_where_it_begins_and_another_where_it_ends(adjourn_world):
    query = db.Query("thing").order(("n", UP))
    first = [str(entity.key) for entity in query.run(4)]
    begin = query.getCursor()
    query.setCursor(begin)
    middle = [str(entity.key) for entity in query.run(5)]
    end = query.getCursor()

    asked = db.Query("thing").order(("n", UP)).setCursor(begin, end)
    keys, _, _ = walked(adjourn_world, asked, "cursors")

    assert keys == middle
    assert not set(keys) & set(first)


@pytest.mark.usefixtures("things")
def test_entries_are_viurs_own_entities(adjourn_world):
    _, _, kind = walked(adjourn_world, db.Query("thing"), "entities")

    assert kind == "Entity"


@pytest.mark.usefixtures("things")
def test_the_query_of_a_skeleton_gives_its_instances(adjourn_world):
    query = ThingSkel().all().filter("amount >", 8)

    keys, total, kind = walked(adjourn_world, query, "skeletons")

    assert kind == "SkeletonInstance"
    assert (len(keys), total) == (3, 3)


@pytest.mark.usefixtures("things")
def test_children_stand_for_the_entities_that_are_meant(adjourn_world):
    for number in range(3):
        entity = db.Entity(
            db.Key("relation-of", f"r{number}", parent=db.Key("thing", f"t{number:02}"))
        )
        entity["n"] = number
        db.Put(entity)
    query = db.Query("relation-of")
    query.origKind = "thing"

    keys, _, _ = walked(adjourn_world, query, "children")

    assert keys == [str(db.Key("thing", f"t{number:02}")) for number in range(3)]


@pytest.mark.skipif(world.is_older(), reason="3.7 has no or_filter")
@pytest.mark.usefixtures("things")
def test_groups_of_which_one_is_to_be_met_are_walked_over_though_viur_refuses(adjourn_world):
    query = db.Query("thing").or_filter(("colour =", "red"), ("n =", 1))

    keys, _, _ = walked(adjourn_world, query, "or")

    there = db.Query("thing").or_filter(("colour =", "red"), ("n =", 1)).run(99)
    assert sorted(keys) == sorted(str(entity.key) for entity in there)


def test_a_query_that_viur_merges_itself_is_refused(adjourn_world):
    query = db.Query("thing")
    query._customMultiQueryMerge = lambda *_: []

    with pytest.raises(DeclarationError, match="merges"):
        adjourn_world.module("probe").Walk.startIterOnQuery(query)


def test_all_that_a_query_finds_is_deleted_those_of_a_skeleton_by_it(things, adjourn_world):
    probe = adjourn_world.module("probe")
    adjourn_world.run(
        lambda: probe.Empty.startIterOnQuery(db.Query("thing").filter("colour =", "red"))
    )
    assert len(db.Query("thing").run(99)) == 8

    deleted = ThingSkel().all().filter("amount >", 8)
    adjourn_world.run(lambda: probe.Empty.startIterOnQuery(deleted))

    assert len(db.Query("thing").run(99)) == 6
