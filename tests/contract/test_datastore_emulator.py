"""The same operations to our server and to Google's own emulator: every answer must be the same.

Where they differ and the emulator is at fault, the test leaves the case out and says why here:

* A query that is not a projection returns an entity with arrays once for each of its index entries;
  the service returns each entity once
  (https://cloud.google.com/datastore/docs/concepts/queries#properties_with_array_values_can_behave_in_surprising_ways).
  Only its first place is compared, and no limit or offset is used where there are arrays.
* An order on an array property that also has an equality sorts by its other elements; the service
  ignores such an order.
* Properties of embedded entities within an array are not indexed, and an embedded entity that is
  itself compared ends the call with UNKNOWN.
* An embedded entity that is excluded from indexes is indexed all the same.
* A query with an inequality that is ordered by key first gives cursors that it then refuses.
* A mutation with a wrong base_version is applied; the documented default is to keep what is stored.
* A read-only transaction cannot be committed, though every client commits it at the end.
* More than five aggregations end the call with UNKNOWN.
* A cursor of another query is accepted, with arbitrary results.
* A transaction that a lookup has begun (`new_transaction`) cannot write what it has read.
* No entity has `__scatter__`.
* An OR that names an ancestor fails with UNKNOWN or ignores it, and an aggregation does not refuse
  what a query refuses of NOT_IN and !=.
* A page without results ends with no cursor, so that going on begins again.
* Of transactions that have read what the others write, the first to commit waits for two seconds
  and is aborted; if all commit at once, none gets through.
* A transaction sees what others have committed since its first read, if it had not read it yet.
* There are no metadata queries and no batches; batches do not show through the client.
"""

import itertools
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from google.api_core import exceptions
from google.cloud import datastore
from google.cloud.datastore.query import PropertyFilter
from google.cloud.datastore_v1 import types

from tests.contract.datastore_calls import begin, commit, lookup
from tests.contract.datastore_queries import Spec, fill, random_spec
from tests.contract.datastore_world import connect, put, running

SEEDS = [1, 2, 3]
QUERIES = 120


@pytest.fixture(scope="module")
def addresses(loop, tmp_path_factory, google_address):
    with running(loop, tmp_path_factory.mktemp("datastore") / "state.db") as world:
        yield world.grpc_address, google_address


_projects = itertools.count()


@pytest.fixture
def clients(addresses):
    """Return our client and Google's, both looking at the same empty project."""
    project = f"project-{next(_projects)}"
    return [connect(address, project) for address in addresses]


def answers(clients, ask):
    """Return what both servers answer; an error counts by its class and code."""
    found = []
    for client in clients:
        try:
            found.append(ask(client))
        except exceptions.GoogleAPICallError as error:
            found.append((type(error).__name__, error.code))
    return found


def rows(spec, found):
    """Return what is compared of results: order, keys, and all properties with their types."""
    whole = [(e.key.flat_path, sorted((k, repr(v)) for k, v in e.items())) for e in found]
    if _repeats(spec):
        return list({path: (path, properties) for path, properties in whole}.items())
    return whole


def _repeats(spec):
    return spec.kind != "S" and (not spec.projection or spec.projection == ("__key__",))


def specs(seed, count=QUERIES):
    rng = random.Random(seed)
    for _ in range(count):
        spec = random_spec(rng)
        if spec.kind == "M" and spec.compared_and_ordered():
            continue
        yield spec.unlimited() if _repeats(spec) else spec


@pytest.mark.parametrize("seed", SEEDS)
def test_random_queries_have_the_same_results(clients, seed):
    for client in clients:
        fill(client, random.Random(seed))

    for spec in specs(seed):
        ours, google = answers(clients, lambda c, s=spec: rows(s, s.fetch(c)))

        assert ours == google, spec


@pytest.mark.parametrize("seed", SEEDS[:2])
def test_random_queries_page_by_cursor_alike(clients, seed):
    for client in clients:
        fill(client, random.Random(seed))

    def pages(client, spec):
        found, cursor = [], None
        for size in (1, 3, 7, None):
            pager = spec.fetch(client, limit=size, offset=0, start_cursor=cursor)
            found.append(rows(spec, pager))
            cursor = pager.next_page_token
            if cursor is None:
                break
        return [page for page in found if page]

    for spec in specs(seed, 60):
        by_key = any(name.endswith("__key__") for name in spec.order)
        if spec.kind == "S" and not spec.distinct and not by_key:
            ours, google = answers(clients, lambda c, s=spec: pages(c, s))

            assert ours == google, spec


@pytest.mark.parametrize("seed", SEEDS[:1])
def test_random_counts_and_sums_are_the_same(clients, seed):
    for client in clients:
        fill(client, random.Random(seed))

    def aggregate(client, spec):
        query = client.aggregation_query(spec.build(client)).count("all")
        query.sum("q", "sum").avg("q", "avg")
        (batch,) = query.fetch()
        return {result.alias: result.value for result in batch}

    def count(client, spec):
        (batch,) = client.aggregation_query(spec.build(client)).count().fetch(limit=None)
        return batch[0].value

    for spec in specs(seed, 80):
        if spec.kind == "S" and not spec.distinct:
            compared = {name for name, _, _ in _comparisons(spec)}
            if "q" not in compared and not spec.projection:
                ours, google = answers(clients, lambda c, s=spec: aggregate(c, s))
                assert ours == pytest.approx(google), spec
            ours, google = answers(clients, lambda c, s=spec: count(c, s))
            assert ours == google, spec


def _comparisons(spec):
    def leaves(filters):
        for item in filters:
            yield from leaves(item[1]) if item[0] in {"and", "or"} else (item,)

    return leaves(spec.filters)


def entity(client, kind, name=None, **properties):
    made = datastore.Entity(client.key(kind, name) if name else client.key(kind))
    made.update(properties)
    return datastore.helpers.entity_to_protobuf(made)


def send(client, *mutations, **fields):
    request = {"project_id": client.project, "mutations": list(mutations), **fields}
    request.setdefault("mode", "NON_TRANSACTIONAL")
    return client._datastore_api.commit(request=types.CommitRequest(request))


def pair(first, second):
    """Return a commit of two mutations of one entity, which exists unless it is inserted."""

    def ask(client):
        def one(operation, n):
            if operation == "delete":
                return types.Mutation(delete=client.key("Row", "x").to_protobuf())
            return types.Mutation(**{operation: entity(client, "Row", "x", n=n)})

        if first != "insert":
            send(client, types.Mutation(upsert=entity(client, "Row", "x", n=0)))
        else:
            send(client, types.Mutation(delete=client.key("Row", "x").to_protobuf()))
        send(
            client,
            one(first, 1),
            one(second, 2),
            mode="TRANSACTIONAL",
            single_use_transaction={"read_write": {}},
        )
        found = client.get(client.key("Row", "x"))
        return found and found["n"]

    return ask


def pair_of_none(client):
    row = entity(client, "Row", "none", n=1)
    send(
        client,
        types.Mutation(update=row),
        types.Mutation(insert=row),
        mode="TRANSACTIONAL",
        single_use_transaction={"read_write": {}},
    )


def aggregate(**fields):
    def ask(client):
        request = types.RunAggregationQueryRequest(
            project_id=client.project,
            aggregation_query={
                "nested_query": {"kind": KIND, **fields},
                "aggregations": [{"sum": {"property": {"name": "q"}}}],
            },
        )
        return client._datastore_api.run_aggregation_query(request=request)

    return ask


def read(operation, *argument, base_version=None, **properties):
    def mutation(client):
        given = {operation: entity(client, *argument, **properties)}
        if base_version is not None:
            given["base_version"] = base_version
        return types.Mutation(**given)

    return lambda client: send(client, mutation(client)).mutation_results[0].conflict_detected


def query(**fields):
    def ask(client):
        request = types.RunQueryRequest(project_id=client.project, query=fields)
        batch = client._datastore_api.run_query(request=request).batch
        return batch.skipped_results, len(batch.entity_results), batch.entity_result_type

    return ask


def compare(name, op, value):
    return {"property_filter": {"property": {"name": name}, "op": op, "value": value}}


KIND = [{"name": "Row"}]
ONE = {"integer_value": 1}
ORDER = [{"property": {"name": "p"}}]
ANCESTOR, OTHER_ANCESTOR = (
    compare("__key__", "HAS_ANCESTOR", {"key_value": {"path": [{"kind": "A", "id": n}]}})
    for n in (1, 2)
)
OPERATIONS = ["insert", "update", "upsert", "delete"]
SCENARIOS = {
    **{f"{a} then {b}": pair(a, b) for a in OPERATIONS for b in OPERATIONS},
    "insert what exists": read("insert", "Row", "a"),
    "update what does not": read("update", "Row", "none"),
    "update without id": read("update", "Row"),
    "insert without id": read("insert", "Row"),
    "indexed text of 1500 bytes": read("upsert", "Row", "t", x="é" * 750),
    "indexed text of 1501 bytes": read("upsert", "Row", "t", x="a" + "é" * 750),
    "reserved kind": read("upsert", "__Row__", "a"),
    "reserved name": read("upsert", "Row", "__a__"),
    "reserved property": read("upsert", "Row", "a", __x__=1),
    "nearly reserved names": read("upsert", "_Row__", "__a_", _x__=1),
    "empty property": read("upsert", "Row", "a", **{"": 1}),
    "no mutation": lambda c: len(send(c).mutation_results),
    "empty mutation": lambda c: send(c, types.Mutation()),
    "no transaction": lambda c: send(c, mode="TRANSACTIONAL"),
    "unknown transaction": lambda c: send(c, mode="TRANSACTIONAL", transaction=b"x"),
    "needless transaction": lambda c: send(c, transaction=b"x"),
    "two kinds": query(kind=[*KIND, {"name": "Other"}]),
    "empty kind": query(kind=[{"name": ""}]),
    "all": query(kind=KIND),
    "limit 0 of none": lambda c: (
        c._datastore_api.run_query(
            request=types.RunQueryRequest(
                project_id=c.project, query={"kind": [{"name": "None"}], "limit": 0}
            )
        ).batch.more_results
    ),
    "sum of what is not projected": aggregate(projection=ORDER),
    "sum of keys": aggregate(projection=[{"property": {"name": "__key__"}}]),
    "update then insert what is not there": pair_of_none,
    "insert with a version": read("insert", "Row", "new", base_version=1),
    "update with version 0": read("update", "Row", "a", base_version=0),
    "a version to come": read("upsert", "Row", "a", base_version=1 << 62),
    "a negative version": read("upsert", "Row", "a", base_version=-1),
    "limit 0": query(kind=KIND, limit=0),
    "limit 0 with offset": query(kind=KIND, limit=0, offset=2),
    "offset beyond the end": query(kind=KIND, offset=100),
    "negative limit": query(kind=KIND, limit=-1),
    "negative offset": query(kind=KIND, offset=-1),
    "no cursor": query(kind=KIND, start_cursor=b"zz"),
    "kindless filter": query(filter=compare("p", "EQUAL", ONE)),
    "kindless order": query(order=ORDER),
    "kindless descending": query(
        order=[{"property": {"name": "__key__"}, "direction": "DESCENDING"}]
    ),
    "order twice": query(kind=KIND, order=ORDER * 2),
    "project twice": query(kind=KIND, projection=ORDER * 2),
    "project what is fixed": query(kind=KIND, projection=ORDER, filter=compare("p", "EQUAL", ONE)),
    "distinct behind others": query(
        kind=KIND, order=ORDER, projection=ORDER, distinct_on=[{"name": "q"}]
    ),
    "distinct on what is fixed": query(
        kind=KIND,
        projection=[{"property": {"name": "q"}}],
        distinct_on=[{"name": "p"}],
        filter=compare("p", "EQUAL", ONE),
    ),
    "distinct twice": query(kind=KIND, projection=ORDER, distinct_on=[{"name": "p"}] * 2),
    "empty and": query(kind=KIND, filter={"composite_filter": {"op": "AND", "filters": []}}),
    "no operator": query(kind=KIND, filter=compare("p", 0, ONE)),
    "array as operand": query(
        kind=KIND, filter=compare("p", "EQUAL", {"array_value": {"values": [ONE]}})
    ),
    "entity as operand": query(kind=KIND, filter=compare("p", "EQUAL", {"entity_value": {}})),
    "number as key": query(kind=KIND, filter=compare("__key__", "EQUAL", ONE)),
    "IN of none": query(kind=KIND, filter=compare("p", "IN", {"array_value": {"values": []}})),
    "IN of one": query(kind=KIND, filter=compare("p", "IN", ONE)),
    "IN of 30": query(
        kind=KIND, filter=compare("p", "IN", {"array_value": {"values": [ONE] * 30}})
    ),
    "IN of 31": query(
        kind=KIND, filter=compare("p", "IN", {"array_value": {"values": [ONE] * 31}})
    ),
    "NOT_IN of 11": query(
        kind=KIND, filter=compare("p", "NOT_IN", {"array_value": {"values": [ONE] * 11}})
    ),
    "two NOT_EQUAL": query(
        kind=KIND,
        filter={"composite_filter": {"op": "AND", "filters": [compare("p", "NOT_EQUAL", ONE)] * 2}},
    ),
    "two ancestors": query(
        filter={"composite_filter": {"op": "AND", "filters": [ANCESTOR, OTHER_ANCESTOR]}}
    ),
    "either of two ancestors": query(
        filter={"composite_filter": {"op": "OR", "filters": [ANCESTOR, OTHER_ANCESTOR]}}
    ),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_call_is_answered_or_refused_alike(clients, name):
    for client in clients:
        for number, row in enumerate("abc"):
            put(client, "Row", row, p=number % 2, q=number)

    ours, google = answers(clients, SCENARIOS[name])

    assert ours == google


def test_values_of_all_types_sort_alike(clients):
    values = [
        None, -5, 0, 5, 1 << 60, False, True, b"", b"ab", b"\xff", "", "abc", "é", "\0", "\uffff",
        float("-inf"), -1.5, -0.0, 0.0, 5.0, float("inf"), float("nan"),
        datastore.helpers.GeoPoint(1, -2), datastore.helpers.GeoPoint(1, 2),
    ]  # fmt: skip
    for client in clients:
        keys = [
            client.key("A", 1),
            client.key("A", 1, "B", 2),
            client.key("A", "x"),
            client.key("B", 1),
        ]
        for number, value in enumerate([*values, *keys]):
            put(client, "S", number + 1, p=value)

    orders = [Spec(kind="S", order=(order,)) for order in ("p", "-p")]
    for spec in orders:
        ours, google = answers(clients, lambda c, s=spec: rows(s, s.fetch(c)))
        assert [path for path, _ in ours] == [path for path, _ in google]
    for operator in ("=", "<", "<=", ">", ">=", "!="):
        for value in values:
            spec = Spec(kind="S", filters=(("p", operator, value),))
            ours, google = answers(clients, lambda c, s=spec: [e.key.id for e in s.fetch(c)])
            assert ours == google, (operator, value)


def test_embedded_properties_are_found_alike(clients):
    for client in clients:
        inner, middle = datastore.Entity(), datastore.Entity()
        inner["n"] = 1
        middle.update({"in": inner, "m": 2})
        put(client, "S", 1, e=middle)

    for name, value in (("e.m", 2), ("e.in.n", 1), ("e.n", 1)):
        spec = Spec(kind="S", filters=((name, "=", value),))
        ours, google = answers(clients, lambda c, s=spec: [e.key.id for e in s.fetch(c)])
        assert ours == google


def test_names_of_a_namespace_are_found_alike(addresses):
    found = []
    for address in addresses:
        spaces = [connect(address, "spaces", namespace=name) for name in (None, "a", "b")]
        for number, client in enumerate(spaces):
            put(client, "Row", 1, n=number)
        query_all = spaces[1].query(kind="Row")
        query_all.add_filter(filter=PropertyFilter("n", ">=", 0))
        found.append([e["n"] for e in query_all.fetch()])

    assert found[0] == found[1] == [1]


def test_a_write_comes_after_the_transaction_that_has_read_the_entity(clients):
    for client in clients:
        send(client, types.Mutation(upsert=entity(client, "Row", "a", n=1)))
        reader = begin(client)
        lookup(client, transaction=reader)

        with ThreadPoolExecutor(1) as pool:
            write = pool.submit(
                send, client, types.Mutation(upsert=entity(client, "Row", "a", n=2))
            )
            assert lookup(client, transaction=reader).found
            commit(client, reader, types.Mutation(upsert=entity(client, "Row", "a", n=3)))
            write.result(timeout=30)

        assert client.get(client.key("Row", "a"))["n"] == 2
