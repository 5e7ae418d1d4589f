"""What the Datastore service refuses is refused here, before anything is stored or read."""

import itertools
import math

import pytest
from google.api_core.exceptions import InvalidArgument
from google.cloud.datastore_v1 import types

from tests.contract.datastore_world import running

_projects = itertools.count()

LONG_NAME = "n" * 101
LONG_TEXT = "ä" * 751  # 1,502 bytes
BAD_NAMESPACES = ["a b", "a/b", "ä", "a\0", LONG_NAME, "__reserved__", "a:b"]
BAD_POINTS = [(90.1, 0), (-90.1, 0), (0, 180.1), (0, -181), (math.nan, 0), (0, math.inf)]
YEAR_1, YEAR_9999 = -62135596800, 253402300799  # seconds
BAD_TIMES = [
    {"seconds": YEAR_1 - 1},
    {"seconds": YEAR_9999 + 1},
    {"nanos": -1},
    {"nanos": 1_000_000_000},
    {"seconds": -(2**63)},
]
INCOMPLETE = {"path": [{"kind": "Kind"}]}


@pytest.fixture(scope="module")
def world(loop, tmp_path_factory):
    with running(loop, tmp_path_factory.mktemp("datastore") / "state.db") as running_world:
        yield running_world


@pytest.fixture
def client(world):
    return world.client(f"refusing-{next(_projects)}")


def key_of(client, namespace="", project=None, database="", name="a"):
    partition = {
        "project_id": client.project if project is None else project,
        "namespace_id": namespace,
        "database_id": database,
    }
    return {"partition_id": partition, "path": [{"kind": "Kind", "name": name}]}


def put(client, value, **key):
    entity = {"key": key_of(client, **key), "properties": {"p": value}}
    request = {
        "project_id": client.project,
        "mode": "NON_TRANSACTIONAL",
        "mutations": [{"upsert": entity}],
    }
    return client._datastore_api.commit(request=types.CommitRequest(request))


def get(client, **key):
    request = {"project_id": client.project, "keys": [key_of(client, **key)]}
    return client._datastore_api.lookup(request=types.LookupRequest(request))


def run(client, namespace="", **query):
    request = {
        "project_id": client.project,
        "partition_id": {"project_id": client.project, "namespace_id": namespace},
        "query": {"kind": [{"name": "Kind"}], **query},
    }
    return client._datastore_api.run_query(request=types.RunQueryRequest(request))


def where(value, name="p"):
    comparison = {"property": {"name": name}, "op": "EQUAL", "value": value}
    return {"filter": {"property_filter": comparison}}


def refused(call, *args, **kwargs):
    """Return why a call is refused as an invalid argument."""
    with pytest.raises(InvalidArgument) as error:
        call(*args, **kwargs)
    return error.value.message


@pytest.mark.parametrize("namespace", BAD_NAMESPACES)
def test_a_namespace_outside_its_grammar(client, namespace):
    value = {"key_value": key_of(client, namespace)}

    assert "namespace" in refused(put, client, {"null_value": 0}, namespace=namespace)
    assert "namespace" in refused(get, client, namespace=namespace)
    assert "namespace" in refused(run, client, namespace)
    assert "namespace" in refused(put, client, value)
    assert "namespace" in refused(run, client, **where(value))
    request = {"project_id": client.project, "keys": [key_of(client, namespace)]}
    del request["keys"][0]["path"][0]["name"]
    allocate = types.AllocateIdsRequest(request)
    assert "namespace" in refused(client._datastore_api.allocate_ids, request=allocate)


@pytest.mark.parametrize("namespace", ["", "a", "A.b-c_9", "n" * 100, "_", "__", "__x"])
def test_namespaces_that_are_allowed(client, namespace):
    put(client, {"key_value": key_of(client, namespace)}, namespace=namespace)

    assert get(client, namespace=namespace).found
    assert run(client, namespace).batch.entity_results


@pytest.mark.parametrize("project", ["a b", "__x__", LONG_NAME, "a/b"])
def test_a_project_outside_its_grammar(client, project):
    value = {"key_value": key_of(client, project=project)}
    lookup = types.LookupRequest({"project_id": project, "keys": []})

    assert "project" in refused(put, client, value)
    assert "project" in refused(client._datastore_api.lookup, request=lookup)


@pytest.mark.parametrize("project", ["example.com:shop", "s~shop", "shop-1"])
def test_projects_that_are_allowed(client, project):
    put(client, {"key_value": key_of(client, project=project)})


@pytest.mark.parametrize("database", ["a b", "__x__", LONG_NAME])
def test_a_database_outside_its_grammar(client, database):
    lookup = types.LookupRequest({"project_id": client.project, "database_id": database})

    assert "database" in refused(put, client, {"key_value": key_of(client, database=database)})
    assert "database" in refused(client._datastore_api.lookup, request=lookup)


@pytest.mark.parametrize(("latitude", "longitude"), BAD_POINTS)
def test_a_point_that_is_nowhere(client, latitude, longitude):
    point = {"latitude": latitude, "longitude": longitude}
    for excluded in (False, True):
        value = {"geo_point_value": point, "exclude_from_indexes": excluded}
        assert "GeoPoint" in refused(put, client, value)
    assert "GeoPoint" in refused(run, client, **where({"geo_point_value": point}))


@pytest.mark.parametrize("time", BAD_TIMES, ids=str)
def test_a_time_outside_of_the_calendar(client, time):
    assert "timestamp" in refused(put, client, {"timestamp_value": time})
    assert "timestamp" in refused(
        put, client, {"timestamp_value": time, "exclude_from_indexes": True}
    )
    assert "timestamp" in refused(run, client, **where({"timestamp_value": time}))


@pytest.mark.parametrize("seconds", [YEAR_1, -1, 0, YEAR_9999])
@pytest.mark.parametrize("excluded", [False, True])
def test_times_are_stored_in_microseconds_rounded_down(client, seconds, excluded):
    time = {"seconds": seconds, "nanos": 999_999_999}
    inner = {"entity_value": {"properties": {"q": {"timestamp_value": time}}}}
    put(client, {"timestamp_value": time, "exclude_from_indexes": excluded})
    put(client, {"array_value": {"values": [inner]}}, name="b")

    stored = get(client).found[0].entity.properties["p"]._pb.timestamp_value
    assert (stored.seconds, stored.nanos) == (seconds, 999_999_000)
    nested = get(client, name="b").found[0].entity.properties["p"]._pb.array_value.values[0]
    assert nested.entity_value.properties["q"].timestamp_value.nanos == 999_999_000


@pytest.mark.parametrize("key", [INCOMPLETE, {"path": []}], ids=["incomplete", "empty"])
def test_a_key_that_names_nothing_is_no_value(client, key):
    partition = {"partition_id": {"project_id": client.project}}
    value = {"key_value": partition | key}

    assert "ey path" in refused(put, client, value)
    assert "ey path" in refused(put, client, {"array_value": {"values": [value]}})
    assert "ey path" in refused(run, client, **where(value))


def test_texts_that_no_index_entry_can_hold_are_not_asked_for(client):
    for value in ({"string_value": LONG_TEXT}, {"blob_value": LONG_TEXT.encode()}):
        assert "1500 bytes" in refused(run, client, **where(value))
        items = {"array_value": {"values": [value]}}
        comparison = {"property": {"name": "p"}, "op": "IN", "value": items}
        assert "1500 bytes" in refused(run, client, filter={"property_filter": comparison})
    run(client, **where({"string_value": "a" * 1500}))


def test_names_that_no_property_can_have_are_not_asked_for(client):
    reference = {"name": LONG_TEXT}
    queries = [
        where({"null_value": 0}, LONG_TEXT),
        {"order": [{"property": reference, "direction": "ASCENDING"}]},
        {"projection": [{"property": reference}]},
        {"distinct_on": [reference], "projection": [{"property": reference}]},
        {"kind": [{"name": LONG_TEXT}]},
    ]

    for query in queries:
        assert "1500 bytes" in refused(run, client, **query)


def test_a_reserved_name_is_not_projected(client):
    projection = [{"property": {"name": "__scatter__"}}]

    assert "is reserved" in refused(run, client, projection=projection)


@pytest.mark.parametrize("part", ["order", "projection", "distinct_on", "kind"])
def test_an_empty_name_is_not_asked_for(client, part):
    reference = {"name": ""}
    named = {"order": {"property": reference}, "projection": {"property": reference}}

    assert "empty string" in refused(run, client, **{part: [named.get(part, reference)]})


def test_a_long_text_below_an_excluded_entity_has_to_be_excluded_itself(client):
    def holding(*, excluded):
        text = {"string_value": LONG_TEXT, "exclude_from_indexes": excluded}
        return {"entity_value": {"properties": {"q": text}}, "exclude_from_indexes": True}

    assert "1500 bytes" in refused(put, client, holding(excluded=False))
    inside = {"array_value": {"values": [holding(excluded=False)]}}
    assert "1500 bytes" in refused(put, client, inside)
    put(client, holding(excluded=True))
    put(client, {"array_value": {"values": [holding(excluded=True)]}})


@pytest.mark.parametrize("operation", ["update", "insert"])
def test_what_is_invalid_in_itself_is_refused_before_what_is_stored_is_looked_at(client, operation):
    put(client, {"null_value": 0}, name="there")
    name = {"update": "missing", "insert": "there"}[operation]
    wrong = {"key": key_of(client, name="other"), "properties": {"": {"null_value": 0}}}
    conflict = {operation: {"key": key_of(client, name=name)}}
    request = {
        "project_id": client.project,
        "mode": "TRANSACTIONAL",
        "single_use_transaction": {"read_write": {}},
        "mutations": [conflict, {"upsert": wrong}],
    }

    commit = types.CommitRequest(request)

    assert "property.name is the empty" in refused(client._datastore_api.commit, request=commit)


def test_an_invalid_entity_is_refused_though_it_would_not_be_written(client):
    put(client, {"null_value": 0})
    entity = {"key": key_of(client), "properties": {"": {"null_value": 0}}}
    mutation = {
        "upsert": entity,
        "update_time": {"seconds": 1},
        "conflict_resolution_strategy": "SERVER_VALUE",
    }
    request = {"project_id": client.project, "mode": "NON_TRANSACTIONAL", "mutations": [mutation]}

    commit = types.CommitRequest(request)

    assert "property.name is the empty" in refused(client._datastore_api.commit, request=commit)
