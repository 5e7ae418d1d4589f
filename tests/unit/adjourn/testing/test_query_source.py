"""Iterations over entities in memory, by Google's own queries."""

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import datastore
from google.cloud.datastore.query import PropertyFilter

import adjourn
from adjourn.errors import DeclarationError, StoreError
from adjourn.testing import MemoryQuery, inline


@pytest.fixture(scope="module")
def client():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DATASTORE_EMULATOR_HOST", raising=False)
        return datastore.Client(project="sandbox", credentials=AnonymousCredentials())


@pytest.fixture
def entities(client):
    made = []
    for name, price, tags in [("a", 1, ["new", "red"]), ("b", 2, ["red"]), ("c", 1, [])]:
        shop = client.key("Shop", "one" if name == "b" else "two")
        entity = datastore.Entity(client.key("Product", name, parent=shop))
        entity.update({"name": name, "price": price, "tags": tags})
        made.append(entity)
    return made


@pytest.fixture
def box(app, entities):
    with inline(app) as made:
        made.queries.add("Product", *entities)
        made.queries.add("Note", {"text": "first", "price": 3}, {"text": "second"})
        yield made


@pytest.fixture
def visit(app, ran):
    @app.query_iter(name="visit")
    class Visit(adjourn.QueryIter):
        batch_size = 1

        def handle_entry(self, entry, custom_data):
            ran.append(dict(entry))
            entry["price"] = custom_data

    return Visit


@pytest.mark.usefixtures("box")
@pytest.mark.parametrize(
    ("said", "names"),
    [
        ({}, "bac"),  # by key, and so by shop
        ({"order": ["price", "-name"]}, "cab"),
        ({"order": ["-price", "name"]}, "bac"),
        ({"order": ["-tags"]}, "ab"),
        ({"ancestor": ("Shop", "two")}, "ac"),
        ({"ancestor": ("Shop", "two"), "order": ["-name"]}, "ca"),
        ({"distinct_on": ["price"], "order": ["price"]}, "ab"),
        ({"namespace": "elsewhere"}, ""),
    ],
)
def test_a_walk_meets_what_datastore_would_return(client, visit, ran, said, names):
    told = {"kind": "Product"} | said
    if "ancestor" in told:
        told["ancestor"] = client.key(*told["ancestor"])

    run = visit.start(client.query(**told))

    assert "".join(entry["name"] for entry in ran) == names
    assert run.fetch().done == run.fetch().total == len(names)


@pytest.mark.usefixtures("box")
def test_a_projection_gives_one_result_for_each_element_of_an_array(client, visit, ran):
    visit.start(client.query(kind="Product", projection=["tags", "price"]))

    assert ran == [
        {"price": 1, "tags": "new"},
        {"price": 1, "tags": "red"},
        {"price": 2, "tags": "red"},
    ]


@pytest.mark.usefixtures("box")
def test_keys_alone_come_without_values(client, visit, ran):
    query = client.query(kind="Product")
    query.keys_only()

    visit.start(query)

    assert ran == [{}, {}, {}]


@pytest.mark.usefixtures("box")
def test_all_kinds_are_walked_over_in_shards(client, visit, ran):
    visit.start(client.query(), shards=3)

    assert len(ran) == 5


def test_mappings_are_found_like_entities(client, box, visit, ran):
    query = client.query(kind="Note")
    query.add_filter(filter=PropertyFilter("price", ">", 2))

    visit.start(query, 4)
    visit.start(MemoryQuery("Note", order="text"))

    assert ran == [
        {"text": "first", "price": 3},
        {"text": "first", "price": 4},  # it is the test's own mapping that the hook has changed
        {"text": "second"},
    ]
    assert box.queries.entries("Note")[1] == {"text": "second", "price": None}


def test_a_hook_changes_no_entity_but_its_own(client, box, entities, visit, ran):
    visit.start(client.query(kind="Product"), 99)
    visit.start(client.query(kind="Product"), 99)

    assert ran[:3] == ran[3:]
    assert [entry["price"] for entry in box.queries.entries("Product")] == [2, 1, 1]
    assert entities[0]["price"] == 1


def test_an_entity_that_fails_comes_again_as_it_is_kept(app, client, box, ran):
    @app.query_iter(name="strict")
    class Strict(adjourn.QueryIter):
        def handle_entry(self, entry, custom_data):  # noqa: ARG002
            ran.append(entry["price"])
            entry["price"] += 1
            if entry["name"] == "a":
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Strict.start(client.query(kind="Product"))
    box.queries.add("Product", changed := box.queries.entries("Product")[1])
    changed["price"] = 7
    box.queries.add("Product", changed)
    with pytest.raises(ZeroDivisionError):
        box.travel(by=60)

    assert ran == [2, 1, 1, 7]


def test_what_is_updated_and_deleted_can_be_seen(app, client, box):
    @app.query_iter(name="raise")
    class Raise(adjourn.UpdateEntitiesIter):
        def update_entry(self, entry, custom_data):
            entry["price"] += custom_data

    @app.query_iter(name="forget")
    class Forget(adjourn.DeleteEntitiesIter):
        pass

    query = client.query(kind="Product")
    query.add_filter(filter=PropertyFilter("price", "<", 12))

    Raise.start(client.query(kind="Product"), 10)
    Forget.start(query)

    assert [(each["name"], each["price"]) for each in box.queries.entries("Product")] == [("b", 12)]
    assert box.queries.entries("Unknown") == []


def test_a_walk_begins_and_ends_at_cursors(client, box, visit, ran):
    query = client.query(kind="Product", order=["-name"])
    cursors = box.queries.page(box.queries.describe(query), cursor="", limit=3).cursors

    visit.start(query, start_cursor=cursors[0], end_cursor=cursors[1].encode())

    assert [entry["name"] for entry in ran] == ["b"]


@pytest.mark.usefixtures("box")
@pytest.mark.parametrize("cursor", ["CkEKDgoEbmFtZRIGaWdub3Jl", "5", "[1]", "[[], []]"])
def test_a_cursor_of_another_query_is_refused(client, visit, cursor):
    with pytest.raises(StoreError, match=r"is not a cursor of this query in memory; take one that"):
        visit.start(client.query(kind="Product"), start_cursor=cursor)


@pytest.mark.usefixtures("box")
def test_what_datastore_refuses_is_refused_here(client, visit):
    query = client.query(kind="Product")
    query.add_filter(filter=PropertyFilter("price", "IN", []))

    with pytest.raises(StoreError, match=r"IN \[\]: Datastore takes a list that is not empty"):
        visit.start(query)
    with pytest.raises(DeclarationError, match="cannot be resumed"):
        visit.start(client.query(kind="Product", distinct_on=["price"], order=["price", "name"]))
    with pytest.raises(DeclarationError, match="is not a MemoryQuery, nor a query of google"):
        visit.start("SELECT *")


def test_what_datastore_cannot_keep_or_sort_is_refused(client, box, visit):
    entity = datastore.Entity(client.key("Product", "d"))
    entity["price"] = 1 + 2j
    with pytest.raises(ValueError, match="Unknown protobuf attr type"):
        box.queries.add("Product", entity)

    box.queries.add("Note", {"text": 1 + 2j})
    with pytest.raises(StoreError, match=r"\(1\+2j\) is not a value that Datastore can filter"):
        visit.start(MemoryQuery("Note", order="text"))
