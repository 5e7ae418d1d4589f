"""Which queries need a composite index in the service, and what is said if none is declared."""

import pytest
from google.api_core.exceptions import FailedPrecondition
from google.cloud import datastore
from google.cloud.datastore.query import And, Or, PropertyFilter

from adjourn_local.datastore import CompositeIndex
from adjourn_local.datastore.indexes import Column
from tests.contract.datastore_world import running

A, B, C = (PropertyFilter(name, "=", 1) for name in "abc")
LESS = PropertyFilter("a", "<", 1)
OTHER_LESS = PropertyFilter("b", "<", 1)
BEFORE = PropertyFilter("__key__", "<", datastore.Key("Kind", 1, project="demo"))


def index(*names, ancestor=False):
    """Return an index; a minus in front of a name makes it descending."""
    columns = tuple(Column(name.lstrip("-"), name.startswith("-")) for name in names)
    return CompositeIndex("Kind", columns, ancestor)


def query(client, *filters, below=False, **options):
    asked = client.query(
        kind="Kind", ancestor=client.key("Kind", "top") if below else None, **options
    )
    for each in filters:
        asked.add_filter(filter=each)
    return asked


@pytest.fixture
def world(loop, tmp_path):
    with running(loop, tmp_path / "state.db") as found:
        yield found


def needed(world, *filters, **options):
    list(query(world.client(), *filters, **options).fetch())
    return world.loop.call(world.server.needed_indexes.all)


@pytest.mark.parametrize(
    ("filters", "options"),
    [
        ([], {}),
        ([], {"order": ["a"]}),
        ([], {"order": ["-a"]}),
        ([], {"order": ["__key__"]}),
        ([], {"order": ["-a", "__key__"]}),
        ([], {"below": True}),
        ([], {"projection": ["a"]}),
        ([], {"projection": ["__key__"]}),
        ([A, B, C], {}),
        ([A, B], {"below": True}),
        ([A], {"order": ["a"]}),
        ([A, B], {"order": ["__key__"]}),
        ([LESS], {}),
        ([LESS], {"order": ["-a"]}),
        ([LESS], {"projection": ["a"]}),
        ([PropertyFilter("a", "!=", 1)], {}),
        ([PropertyFilter("a", "IN", [1, 2])], {}),
        ([BEFORE, A], {}),
        ([BEFORE], {"below": True}),
        ([Or([A, B])], {}),
    ],
)
def test_what_single_properties_serve_needs_no_index(world, filters, options):
    assert needed(world, *filters, **options) == []


@pytest.mark.parametrize(
    ("filters", "options", "indexes"),
    [
        ([], {"order": ["a", "-b"]}, [index("a", "-b")]),
        ([], {"order": ["-__key__"]}, [index("-__key__")]),
        ([], {"order": ["a", "-__key__"]}, [index("a", "-__key__")]),
        ([], {"order": ["a"], "below": True}, [index("a", ancestor=True)]),
        ([], {"projection": ["b", "a"]}, [index("a", "b")]),
        ([], {"projection": ["b", "a"], "order": ["-b"]}, [index("-b", "a")]),
        ([], {"projection": ["a", "b"], "distinct_on": ["b"]}, [index("b", "a")]),
        ([A], {"order": ["b"]}, [index("a", "b")]),
        ([B, A], {"order": ["-c"]}, [index("a", "b", "-c")]),
        ([A], {"order": ["-__key__"]}, [index("a", "-__key__")]),
        ([A], {"projection": ["b"]}, [index("a", "b")]),
        ([LESS, B], {}, [index("b", "a")]),
        ([LESS, B], {"order": ["-a"]}, [index("b", "-a")]),
        ([LESS], {"below": True}, [index("a", ancestor=True)]),
        ([LESS, OTHER_LESS], {}, [index("a", "b")]),
        ([And([A, Or([B, C])])], {"order": ["d"]}, [index("a", "b", "d"), index("a", "c", "d")]),
        ([PropertyFilter("a", "IN", [1, 2])], {"order": ["b"]}, [index("a", "b")]),
    ],
)
def test_everything_else_needs_a_composite_index(world, filters, options, indexes):
    assert needed(world, *filters, **options) == indexes


def test_an_aggregation_of_a_property_needs_it_in_the_index(world):
    client = world.client()
    list(client.aggregation_query(query(client, A)).count().fetch())
    assert world.loop.call(world.server.needed_indexes.all) == []
    list(client.aggregation_query(query(client, A, projection=["b"])).sum("b").fetch())
    assert world.loop.call(world.server.needed_indexes.all) == [index("a", "b")]


def test_needed_indexes_are_known_after_a_restart(loop, tmp_path):
    for order in (["a", "-b"], ["-c", "a"]):
        with running(loop, tmp_path / "state.db") as world:
            found = needed(world, order=order)

    assert found == [index("a", "-b"), index("-c", "a")]


MESSAGE = """\
no matching index found. recommended index is:
- kind: Kind
  ancestor: yes
  properties:
  - name: a
  - name: b
    direction: desc
"""


def test_a_query_is_refused_with_the_index_that_it_needs(loop, tmp_path):
    wrong = [index("a", "-b"), index("a", "b", ancestor=True)]
    with running(loop, tmp_path / "state.db", declared_indexes=wrong) as world:
        client = world.client()
        client.put(datastore.Entity(client.key("Kind", "top")))
        for _ in range(2):
            with pytest.raises(FailedPrecondition) as refused:
                list(query(client, A, order=["-b"], below=True).fetch())
            assert refused.value.message == MESSAGE
        with pytest.raises(FailedPrecondition), client.transaction():
            list(query(client, A, order=["-b"], below=True).fetch())
        list(query(client, A, order=["-b"]).fetch())


@pytest.mark.parametrize(
    ("filters", "options", "declared"),
    [
        ([A, B], {"order": ["c"]}, [index("b", "a", "c")]),
        ([A, B], {"order": ["c"]}, [index("a", "c"), index("b", "c")]),
        ([A], {"order": ["c"], "below": True}, [index("c", ancestor=True), index("a", "c")]),
        ([LESS, B], {}, [index("b", "-a")]),
        ([], {"projection": ["a", "b"]}, [index("b", "-a")]),
    ],
)
def test_declared_indexes_serve_alone_or_together(loop, tmp_path, filters, options, declared):
    with running(loop, tmp_path / "all", declared_indexes=declared) as world:
        needed(world, *filters, **options)
    for missing in range(len(declared)):
        others = declared[:missing] + declared[missing + 1 :]
        with running(loop, tmp_path / str(missing), declared_indexes=others) as world:
            asked = query(world.client(), *filters, **options)
            with pytest.raises(FailedPrecondition):
                list(asked.fetch())


@pytest.mark.parametrize("each", [index("a", "-b"), index("c", ancestor=True)])
def test_an_index_is_written_as_it_is_read(each):
    assert CompositeIndex.read(each.written()) == each


@pytest.mark.parametrize(
    "content",
    [
        [],
        {"kind": "Kind"},
        {"kind": 1, "properties": []},
        {"kind": "Kind", "properties": ["a"]},
        {"kind": "Kind", "properties": [{"name": "a", "direction": "up"}]},
        {"kind": "Kind", "ancestor": "maybe", "properties": [{"name": "a"}]},
    ],
)
def test_what_is_no_index_is_refused(content):
    with pytest.raises(ValueError, match=r"kind|name"):
        CompositeIndex.read(content)
