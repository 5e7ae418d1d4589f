"""Datastore's queries by Google's own client: arrays, cursors, batches, aggregations, refusals."""

import itertools
import random
import sqlite3

import pytest
from google.api_core import exceptions
from google.cloud import datastore
from google.cloud.datastore.query import And, Or, PropertyFilter
from google.cloud.datastore_v1 import types

from adjourn_local.datastore import entities, entity_tables, keys, messages, view
from tests.contract.datastore_queries import fill, random_spec
from tests.contract.datastore_world import names, put, running


@pytest.fixture(scope="module")
def world(loop, tmp_path_factory):
    with running(loop, tmp_path_factory.mktemp("datastore") / "state.db") as running_world:
        yield running_world


_projects = itertools.count()


@pytest.fixture(params=["grpc", "http"])
def client(request, world):
    return world.client(f"project-{next(_projects)}", http=request.param == "http")


def select(client, *filters, kind="Row", **options):
    query = client.query(kind=kind, **options)
    for one in filters:
        query.add_filter(filter=PropertyFilter(*one) if isinstance(one, tuple) else one)
    return query


def found(client, *filters, **options):
    return names(select(client, *filters, **options).fetch())


@pytest.fixture
def arrays(client):
    put(client, "Row", "one", x=[1, 3], y=2)
    put(client, "Row", "two", x=2, y=1)
    put(client, "Row", "three", x=[1, 2], y=[5, 6])
    put(client, "Row", "none", y=1)
    put(client, "Row", "empty", x=[], y=1)
    put(client, "Row", "mixed", x=[None, "a"], y=9)
    return client


@pytest.mark.parametrize(
    ("filters", "order", "expected"),
    [
        ([], ["x"], ["mixed", "one", "three", "two"]),
        ([], ["-x"], ["mixed", "one", "two", "three"]),
        ([("x", "=", 1), ("x", "=", 3)], [], ["one"]),
        ([("x", ">", 1), ("x", "<", 3)], [], ["three", "two"]),
        ([("x", ">", 2)], [], ["one", "mixed"]),
        ([("x", "!=", 1)], [], ["mixed", "three", "two", "one"]),
        ([("x", "NOT_IN", [1, 2])], [], ["mixed", "one"]),
        ([("x", "IN", [1, 2])], [], ["one", "three", "two"]),
        ([("x", "IN", [2, 1])], ["-y"], ["three", "one", "two"]),
        ([("x", "=", None)], [], ["mixed"]),
        ([("x", "=", 1)], ["y"], ["one", "three"]),
        ([("x", ">=", 1), ("y", ">", 1)], [], ["one", "three", "mixed"]),
    ],
)
def test_an_array_is_found_by_its_elements_and_once(arrays, filters, order, expected):
    assert found(arrays, *filters, order=order) == expected


def test_a_count_counts_an_entity_with_arrays_once(arrays):
    def count(*filters, **options):
        query = select(arrays, *filters, **options)
        (batch,) = arrays.aggregation_query(query).count().fetch()
        return batch[0].value

    assert count() == 6
    assert count(("x", ">", 0)) == 4
    assert count(("x", "IN", [1, 2])) == 3
    assert count(("x", ">", 0), order=["y"]) == 4


def test_a_projection_shows_each_combination(arrays):
    query = select(arrays, ("x", "=", 1), projection=["y"])

    assert [(e.key.name, e["y"]) for e in query.fetch()] == [
        ("one", 2),
        ("three", 5),
        ("three", 6),
    ]


def test_distinct_gives_the_first_of_each_group(arrays):
    query = select(arrays, projection=["x", "y"], distinct_on=["x"], order=["x", "-y"])

    assert [(e["x"], e["y"]) for e in query.fetch()] == [
        (None, 9),
        (1, 6),
        (2, 6),
        (3, 2),
        ("a", 9),
    ]


def test_properties_of_entities_within_arrays_are_indexed(client):
    inner = [datastore.Entity(), datastore.Entity()]
    inner[0].update({"city": "Rome", "zip": 1})
    inner[1].update({"city": "Oslo"})
    put(client, "Row", "a", homes=inner)

    assert found(client, ("homes.city", "=", "Oslo")) == ["a"]
    assert found(client, ("homes.zip", "=", 1), ("homes.city", "=", "Oslo")) == ["a"]


def test_nothing_is_indexed_below_an_excluded_entity(client):
    inner = datastore.Entity()
    inner["city"] = "Rome"
    put(client, "Row", "a", home=inner, exclude=["home"])

    assert found(client, ("home.city", "=", "Rome")) == []


def test_ancestors_bound_a_query_to_their_descendants(client):
    root, child = client.key("Root", 1), client.key("Root", 1, "Row", 5)
    for parent, name in [
        (None, 1),
        (root, 5),
        (child, 1),
        (root, "x"),
        (client.key("Root", 10), 5),
    ]:
        put(client, "Row", name, parent=parent, n=str(name))

    assert found(client, ancestor=root) == [5, 1, "x"]
    assert found(client, ancestor=child) == [5, 1]
    assert found(client, ancestor=root, order=["-n"]) == ["x", 5, 1]
    assert found(client, ("n", "=", "5"), ancestor=root) == [5]
    assert found(client, ("n", ">", "1"), ancestor=root, order=["n"]) == [5, "x"]
    assert found(client, ancestor=root, kind=None) == [5, 1, "x"]
    assert found(client, kind=None) == [5, 1, "x", 5, 1]


def test_keys_can_be_compared_and_ordered(client):
    for name in (1, 2, 10, "a", "b"):
        put(client, "Row", name, n=1)
    key = client.key("Row", 2)

    assert found(client, ("__key__", ">", key)) == [10, "a", "b"]
    assert found(client, ("__key__", "<=", key), order=["-__key__"]) == [2, 1]
    assert found(client, ("n", "=", 1), ("__key__", "<", key)) == [1]
    assert found(client, ("n", ">", 0), ("__key__", ">", key)) == [10, "a", "b"]
    assert found(client, ("__key__", "!=", key)) == [1, 10, "a", "b"]
    assert found(client, ("__key__", "=", key), kind=None) == [2]


def test_alternatives_are_merged_in_order_and_each_entity_comes_once(client):
    for n in range(12):
        put(client, "Row", n + 1, a=n % 2, b=n % 3, c=-n)
    either = Or([PropertyFilter("a", "=", 0), PropertyFilter("b", "=", 0)])
    both = Or([And([PropertyFilter("a", "=", 1), PropertyFilter("b", ">", 1)]), either])

    assert found(client, either) == [1, 3, 4, 5, 7, 9, 10, 11]
    assert found(client, either, order=["c"]) == [11, 10, 9, 7, 5, 4, 3, 1]
    assert len(found(client, both, order=["c"])) == 10


def pages(client, spec, size):
    results, cursor = [], None
    while True:
        pager = spec.fetch(client, limit=size, start_cursor=cursor, offset=0)
        page = [(e.key.flat_path, repr(sorted(e.items(), key=repr))) for e in pager]
        results += page
        cursor = pager.next_page_token
        if len(page) < size:
            return results


@pytest.mark.parametrize("seed", range(4))
def test_paging_by_cursor_gives_every_result_once_and_in_order(world, seed):
    client = world.client(f"paging-{seed}")
    fill(client, random.Random(seed))
    rng = random.Random(seed + 100)

    for _ in range(60):
        spec = random_spec(rng).unlimited()
        whole = pages(client, spec, 1000)

        assert pages(client, spec, 3) == whole, spec
        assert names(spec.fetch(client, offset=4, limit=5)) == [
            path[-1] for path, _ in whole[4:9]
        ], spec


def run_query(client, read_options=None, **query):
    request = types.RunQueryRequest(
        project_id=client.project,
        read_options=read_options,
        query={"kind": [{"name": "Row"}], **query},
    )
    return client._datastore_api.run_query(request=request).batch


def test_every_result_has_a_cursor_and_an_end_cursor_ends_a_query(client):
    for n in range(1, 8):
        put(client, "Row", n, n=-n)
    order = [{"property": {"name": "n"}}]

    whole = run_query(client, order=order)
    cursors = [result.cursor for result in whole.entity_results]
    middle = run_query(client, order=order, start_cursor=cursors[1], end_cursor=cursors[4])
    skipped = run_query(client, order=order, offset=2, limit=1)

    assert whole.end_cursor == cursors[-1]
    assert whole.more_results == types.QueryResultBatch.MoreResultsType.NO_MORE_RESULTS
    assert [result.cursor for result in middle.entity_results] == cursors[2:5]
    assert middle.more_results == types.QueryResultBatch.MoreResultsType.MORE_RESULTS_AFTER_CURSOR
    assert (skipped.skipped_results, skipped.skipped_cursor) == (2, cursors[1])
    assert skipped.more_results == types.QueryResultBatch.MoreResultsType.MORE_RESULTS_AFTER_LIMIT


def test_a_cursor_stays_where_it_is_when_entities_come_and_go(client):
    for n in (10, 20, 30, 40):
        put(client, "Row", n)
    cursor = run_query(client, limit=2).end_cursor
    client.delete(client.key("Row", 20))
    put(client, "Row", 15)
    put(client, "Row", 25)

    rest = run_query(client, start_cursor=cursor)

    assert [r.entity.key.path[0].id for r in rest.entity_results] == [25, 30, 40]


def test_a_cursor_of_another_query_is_refused(client):
    put(client, "Row", 1, n=1)
    cursor = run_query(client).end_cursor

    for other in (
        {"order": [{"property": {"name": "n"}}]},
        {"kind": [{"name": "Other"}]},
        {"order": [{"property": {"name": "__key__"}, "direction": "DESCENDING"}]},
    ):
        with pytest.raises(exceptions.BadRequest, match="does not belong to this query"):
            run_query(client, start_cursor=cursor, **other)


def test_many_results_and_many_skipped_ones_come_in_batches(world):
    client = world.client("batches")
    for start in range(1, 2501, 500):
        client.put_multi(
            [datastore.Entity(client.key("Row", n)) for n in range(start, start + 500)]
        )

    batch = run_query(client)

    assert batch.more_results == types.QueryResultBatch.MoreResultsType.NOT_FINISHED
    assert len(batch.entity_results) == 300
    batch = run_query(client, limit=400)
    assert batch.more_results == types.QueryResultBatch.MoreResultsType.NOT_FINISHED
    assert len(batch.entity_results) == 300
    batch = run_query(client, offset=2300)
    assert batch.more_results == types.QueryResultBatch.MoreResultsType.NOT_FINISHED
    assert (batch.skipped_results, len(batch.entity_results)) == (1000, 0)
    assert found(client) == list(range(1, 2501))
    assert names(select(client).fetch(offset=2300, limit=3)) == [2301, 2302, 2303]
    assert names(select(client).fetch(limit=1800))[-1] == 1800


def test_a_query_that_takes_long_comes_in_batches_but_not_in_a_transaction(loop, tmp_path):
    # Each look at the clock takes 0.3 s.
    ticks = (number * 0.3 for number in itertools.count())
    with running(loop, tmp_path / "slow", monotonic=lambda: next(ticks)) as slow:
        client = slow.client()
        client.put_multi([datastore.Entity(client.key("Row", n)) for n in range(1, 11)])

        batch = run_query(client)
        assert batch.more_results == types.QueryResultBatch.MoreResultsType.NOT_FINISHED
        assert len(batch.entity_results) == 4
        assert found(client) == list(range(1, 11))
        with client.transaction() as transaction:
            options = {"transaction": transaction.id}
            assert len(run_query(client, read_options=options).entity_results) == 10


def test_aggregations_come_under_their_names(client):
    for n, value in enumerate([1, 2, 2.5, "text", None]):
        put(client, "Row", n + 1, v=value)
    put(client, "Row", 9)
    query = client.aggregation_query(select(client))
    query.count("rows").sum("v", "sum").avg("v", "avg").count()

    (batch,) = query.fetch()

    assert {r.alias: r.value for r in batch} == {
        "rows": 5,
        "sum": 5.5,
        "avg": pytest.approx(5.5 / 3),
        "property_1": 5,
    }


def aggregate(client, *aggregations, **nested):
    request = types.RunAggregationQueryRequest(
        project_id=client.project,
        aggregation_query={
            "nested_query": {"kind": [{"name": "Row"}], **nested},
            "aggregations": list(aggregations),
        },
    )
    batch = client._datastore_api.run_aggregation_query(request=request).batch
    return batch.aggregation_results[0].aggregate_properties


def test_a_count_stops_at_its_limit(client):
    client.put_multi([datastore.Entity(client.key("Row", n)) for n in range(1, 8)])

    counts = aggregate(client, {"count": {"up_to": 3}}, {"count": {}}, {"count": {"up_to": 0}})

    assert [counts[f"property_{n}"].integer_value for n in (1, 2, 3)] == [3, 7, 0]
    assert aggregate(client, {"count": {}}, limit=4, offset=5)["property_1"].integer_value == 2


def test_sums_that_no_integer_holds_become_doubles(client):
    put(client, "Row", 1, n=2**63 - 1)
    put(client, "Row", 2, n=2**63 - 1)

    total = {"sum": {"property": {"name": "n"}}}
    mean = {"avg": {"property": {"name": "none"}}}

    assert aggregate(client, total)["property_1"].double_value == 2.0**64
    assert "null_value" in aggregate(client, mean)["property_1"]._pb.ListFields()[0][0].name


@pytest.mark.parametrize(
    ("aggregations", "text"),
    [
        ([], "can not be empty"),
        ([{"count": {}}] * 6, "at most 5"),
        ([{"count": {}, "alias": "a"}] * 2, "duplicate alias"),
        ([{"count": {"up_to": -1}}], "greater than or equal to zero"),
        ([{"sum": {"property": {"name": "__key__"}}}], "not supported for the property"),
        ([{"alias": "a"}], "needs an operator"),
    ],
)
def test_aggregations_that_the_service_refuses_are_refused(client, aggregations, text):
    with pytest.raises(exceptions.BadRequest, match=text):
        aggregate(client, *aggregations)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"gql_query": {"query_string": "SELECT *"}}, "GQL is not served"),
        ({"query": {"kind": [{"name": "__Stat_Total__"}]}}, "Statistics .* are not kept"),
        ({"query": {"kind": [{"name": "__Other__"}]}}, "not served"),
        ({"query": {"find_nearest": {"limit": 1}}}, "find_nearest is not served"),
    ],
)
def test_what_is_not_served_is_refused_clearly(client, fields, text):
    request = types.RunQueryRequest(project_id=client.project, **fields)

    with pytest.raises(exceptions.GoogleAPICallError, match=text) as caught:
        client._datastore_api.run_query(request=request)
    assert caught.value.code == 501


def test_metadata_tells_namespaces_kinds_and_properties(world, client):
    other = world.client(client.project, namespace="second")
    put(client, "Row", 1, a=1, b=[None, "x"])
    put(client, "Row", 2, a=1.5)
    put(client, "Gone", 1, c=1)
    client.delete(client.key("Gone", 1))
    put(other, "Else", 1, d=True)

    assert found(client, kind="__namespace__") == [1, "second"]
    assert found(client, kind="__kind__") == ["Row"]
    assert found(other, kind="__kind__") == ["Else"]
    first = client.key("__property__", "a", parent=client.key("__kind__", "Row"))
    properties = list(select(client, kind="__property__").fetch())
    assert [e.key.flat_path[1::2] for e in properties] == [("Row", "a"), ("Row", "b")]
    assert properties[0]["property_representation"] == ["INT64", "DOUBLE"]
    assert properties[1]["property_representation"] == ["NULL", "STRING"]
    assert found(client, ("__key__", ">", first), kind="__property__") == ["b"]
    assert found(client, kind="__property__", ancestor=client.key("__kind__", "None")) == []
    assert found(client, kind="__kind__", projection=["__key__"]) == ["Row"]


def test_two_ancestors_in_one_query_are_refused(client):
    ancestors = [
        {
            "property_filter": {
                "property": {"name": "__key__"},
                "op": "HAS_ANCESTOR",
                "value": {"key_value": client.key("A", number).to_protobuf()},
            }
        }
        for number in (1, 2)
    ]

    with pytest.raises(exceptions.BadRequest, match="Only one HAS_ANCESTOR"):
        run_query(client, filter={"composite_filter": {"op": "AND", "filters": ancestors}})
    with pytest.raises(exceptions.BadRequest, match="same HAS_ANCESTOR"):
        run_query(client, filter={"composite_filter": {"op": "OR", "filters": ancestors}})


def test_queries_of_one_shape_share_an_index(world):
    client = world.client("shapes")
    for n in range(10):
        put(client, "Row", n + 1, a=n % 2, b=n)

    for value, order in itertools.product(range(2), (["b"], ["-b"])):
        found(client, ("a", "=", value), order=order)
        found(client, ("a", "=", value), ("b", ">", 3), order=order)

    indexes = world.server._store.catalog.kind(("shapes", "", ""), "Row")
    assert len(indexes.composite) == 1


def test_after_any_writes_the_rows_are_those_of_the_stored_entities(loop, tmp_path):
    with running(loop, tmp_path / "state.db") as world:
        client = world.client()
        rng = random.Random(5)
        for seed in range(4):
            fill(client, random.Random(seed))
            for _ in range(30):
                list(random_spec(rng).fetch(client))
        kept = world.server._store

        def stored(query):
            return loop.call(lambda: kept._connection.execute(query).fetchall())

        found = sorted(stored("SELECT row, several, entity FROM datastore_rows"))
        expected = []
        for number, body in stored("SELECT id, body FROM datastore_entities"):
            entity = messages.Entity.FromString(body)
            indexes = kept.catalog.kind(("demo", "", ""), entity.key.path[-1].kind)
            path = keys.encode_path(entity.key.path)
            rows = indexes.rows(path, entities.indexed_values(entity))
            expected += [(row, int(several), number) for row, several in rows.items()]

        assert len(kept.catalog.kind(("demo", "", ""), "S").composite) > 20
        assert found == sorted(expected)


def test_an_index_out_of_use_makes_room_and_is_made_again(loop, tmp_path, monkeypatch):
    monkeypatch.setattr(entity_tables, "_MAX_COMPOSITES", 3)
    with running(loop, tmp_path / "state.db") as world:
        client = world.client()
        for n in range(4):
            put(client, "Row", n + 1, **dict.fromkeys("abcdefg", n))
        for name in "bcdefg":
            assert found(client, ("a", ">=", 2), order=[f"-{name}"]) == [4, 3]

        indexes = world.server._store.catalog.kind(("demo", "", ""), "Row")
        assert len(indexes.composite) <= 4
        put(client, "Row", 9, **dict.fromkeys("abcdefg", 9))
        for name in "bcdefg":
            assert found(client, ("a", ">=", 2), order=[f"-{name}"]) == [9, 4, 3]


@pytest.mark.parametrize("source", view.Source)
@pytest.mark.parametrize("direction", ["", " DESC"])
def test_sqlite_answers_every_scan_from_the_range_without_sorting(tmp_path, source, direction):
    opened = entity_tables.EntityTables(tmp_path / "state.db")
    opened.close()
    connection = sqlite3.connect(tmp_path / "state.db")

    plan = connection.execute(
        f"EXPLAIN QUERY PLAN {source.value}{direction}", (b"", b"")
    ).fetchall()
    connection.close()

    steps = [step[3] for step in plan]
    assert steps[0].startswith("SEARCH")
    assert not [step for step in steps if "SCAN" in step or "TEMP B-TREE" in step]
