"""Google's own queries over entities in memory."""

import datetime as dt

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import datastore
from google.cloud.datastore.query import And, Or, PropertyFilter

import adjourn
from adjourn.errors import DeclarationError
from adjourn.testing import inline


@pytest.fixture(scope="module")
def client():
    return datastore.Client(project="sandbox", credentials=AnonymousCredentials())


@pytest.fixture
def entities(client):
    made = []
    for name, values in {
        "a": {"price": 1, "tags": ["new", "red"], "sold": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)},
        "b": {"price": 2, "tags": ["red"], "sold": None},
        "c": {"price": "three", "tags": []},
        "d": {"price": 4.5},
    }.items():
        entity = datastore.Entity(client.key("Product", name))
        entity.update(values)
        made.append(entity)
    return made


@pytest.fixture
def visited(entities):
    """Return what walks over the entities and tells the names of those that it met."""
    app, names = adjourn.App(), []

    @app.query_iter(name="visit")
    class Visit(adjourn.QueryIter):
        batch_size = 2

        def handle_entry(self, entry, custom_data):  # noqa: ARG002
            names.append(entry.key.name)

    def visit(query, **options):
        with inline(app) as box:
            box.queries.add("Product", *entities)
            box.queries.add("Other", {"price": 1})
            Visit.start(query, **options)
        return "".join(names)

    return visit


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        (PropertyFilter("price", "=", 2), "b"),
        (PropertyFilter("price", "!=", 2), "acd"),
        (PropertyFilter("price", ">", 1), "bd"),
        (PropertyFilter("price", ">=", 1), "abd"),
        (PropertyFilter("price", "<", 2), "a"),
        (PropertyFilter("price", "<=", 2), "ab"),
        (PropertyFilter("price", "<", "z"), "c"),
        (PropertyFilter("price", "IN", [1, 4.5, "x"]), "ad"),
        (PropertyFilter("price", "NOT_IN", [1, 4.5]), "bc"),
        (PropertyFilter("tags", "=", "red"), "ab"),
        (PropertyFilter("sold", "=", None), "b"),
        (PropertyFilter("sold", ">", dt.datetime(2025, 1, 1, tzinfo=dt.UTC)), "a"),
        (PropertyFilter("nothing", "=", None), ""),
        (
            And([PropertyFilter("tags", "=", "red"), PropertyFilter("price", "=", 1)]),
            "a",
        ),
        (
            Or([PropertyFilter("price", "=", 4.5), PropertyFilter("tags", "=", "new")]),
            "ad",
        ),
    ],
)
def test_filters_find_what_datastore_would_find(client, visited, condition, found):
    query = client.query(kind="Product")
    query.add_filter(filter=condition)

    assert visited(query) == found


def test_keys_can_be_filtered(client, visited):
    query = client.query(kind="Product")
    query.add_filter(filter=PropertyFilter("__key__", "=", client.key("Product", "c")))

    assert visited(query) == "c"


def test_an_order_leaves_out_what_lacks_the_property(client, entities, visited):
    entities[2]["rank"], entities[0]["rank"] = 1, 2

    assert visited(client.query(kind="Product", order=["rank"])) == "ca"


def test_a_walk_in_shards_meets_each_once(client, visited):
    assert sorted(visited(client.query(kind="Product"), shards=2)) == list("abcd")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"order": ["-price"]}, "no order"),
        ({"order": ["price", "name"]}, "no order"),
        ({"projection": ["price"]}, "no projection"),
        ({"kind": None}, "no all kinds"),
    ],
)
def test_what_is_not_understood_is_refused(client, visited, said, told):
    with pytest.raises(DeclarationError, match=told):
        visited(client.query(**{"kind": "Product", **said}))


def test_an_ancestor_is_not_understood(client, visited):
    query = client.query(kind="Product", ancestor=client.key("Shop", 1))

    with pytest.raises(DeclarationError, match="no ancestor; test this one on the laptop stack"):
        visited(query)
