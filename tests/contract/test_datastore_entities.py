"""Datastore by Google's own client: entities, keys, ids, limits, over gRPC and over HTTP."""

import datetime as dt
import itertools
import math
import os
import random
import signal
import subprocess
import sys

import pytest
from google.api_core import exceptions
from google.cloud import datastore
from google.cloud.datastore.helpers import GeoPoint, entity_to_protobuf
from google.cloud.datastore_v1 import types

from tests.contract.datastore_world import names, put, running

_projects = itertools.count()


@pytest.fixture(scope="module")
def world(loop, tmp_path_factory):
    with running(loop, tmp_path_factory.mktemp("datastore") / "state.db") as running_world:
        yield running_world


@pytest.fixture(params=["grpc", "http"])
def client(request, world):
    return world.client(f"project-{next(_projects)}", http=request.param == "http")


def commit(client, *mutations, transactional=False):
    """Send a commit that the high-level client would not build."""
    request = {"project_id": client.project, "mutations": list(mutations)}
    if transactional:
        request |= {"mode": "TRANSACTIONAL", "single_use_transaction": {"read_write": {}}}
    else:
        request["mode"] = "NON_TRANSACTIONAL"
    return client._datastore_api.commit(request=types.CommitRequest(request))


def message(client, kind, name, **properties):
    entity = datastore.Entity(client.key(kind, name))
    entity.update(properties)
    return entity_to_protobuf(entity)


def test_every_type_of_value_comes_back_as_it_was_put(client):
    inner = datastore.Entity(key=client.key("Inner", 1))
    inner["deep"] = "text"
    values = {
        "none": None,
        "int": -(2**63),
        "float": 1.5,
        "infinite": math.inf,
        "bool": True,
        "text": "größe\0",
        "bytes": b"\xff\0\x01",
        "time": dt.datetime(2024, 2, 29, 1, 2, 3, 456789, tzinfo=dt.UTC),
        "key": client.key("Other", "x", "Child", 7),
        "point": GeoPoint(1.5, -2.5),
        "list": [1, "a", None],
        "empty": [],
        "entity": inner,
    }

    put(client, "Thing", "all", exclude=["text"], **values)
    found = client.get(client.key("Thing", "all"))

    assert dict(found) == values
    assert found.exclude_from_indexes == {"text"}


def test_a_key_that_was_never_put_is_missing(client):
    missing = []

    found = client.get_multi([client.key("Thing", "none")], missing=missing)

    assert found == []
    assert [entity.key for entity in missing] == [client.key("Thing", "none")]


def test_many_entities_are_put_got_and_deleted_at_once(client):
    keys = [client.key("Many", n) for n in range(1, 301)]
    client.put_multi([datastore.Entity(key) for key in keys])

    assert len(client.get_multi(keys)) == 300
    client.delete_multi(keys[:299])
    assert [entity.key for entity in client.get_multi(keys)] == [keys[299]]


def test_big_entities_are_read_in_several_answers(client):
    keys = [client.key("Big", n) for n in range(1, 9)]
    for key in keys:
        entity = datastore.Entity(key, exclude_from_indexes=["blob"])
        entity["blob"] = bytes(900_000)
        client.put(entity)

    assert {entity.key for entity in client.get_multi(keys)} == set(keys)
    assert [entity.key for entity in client.query(kind="Big").fetch()] == keys


def test_an_incomplete_key_gets_an_id_of_its_own(client):
    entities = [datastore.Entity(client.key("Auto")) for _ in range(20)]

    client.put_multi(entities)

    identifiers = {entity.key.id for entity in entities}
    assert len(identifiers) == 20
    assert all(0 < identifier < 1 << 53 for identifier in identifiers)
    assert {entity.key.id for entity in client.query(kind="Auto").fetch()} == identifiers


class _FewIds(random.Random):
    """A source that can only give the ids 1 to 4."""

    def randint(self, a, b):
        return super().randint(a, min(b, 4))


def test_reserved_allocated_and_stored_ids_are_not_given_again(loop, tmp_path):
    with running(loop, tmp_path / "state.db", random_source=_FewIds(0)) as world:
        client = world.client()
        put(client, "Auto", 1)
        client.reserve_ids_multi([client.key("Auto", 2)])
        (allocated,) = client.allocate_ids(client.key("Auto"), 1)
        entity = datastore.Entity(client.key("Auto"))
        client.put(entity)

        assert {allocated.id, entity.key.id} == {3, 4}


def test_only_incomplete_keys_are_allocated_and_only_complete_ones_reserved(client):
    with pytest.raises(exceptions.BadRequest, match="must not be complete"):
        client._datastore_api.allocate_ids(
            request=types.AllocateIdsRequest(
                project_id=client.project, keys=[client.key("Auto", 1).to_protobuf()]
            )
        )
    with pytest.raises(exceptions.BadRequest, match="must not be incomplete"):
        client._datastore_api.reserve_ids(
            request=types.ReserveIdsRequest(
                project_id=client.project, keys=[client.key("Auto").to_protobuf()]
            )
        )


def test_insert_update_and_upsert_differ_in_what_they_require(client):
    commit(client, types.Mutation(insert=message(client, "Row", "a", n=1)))
    with pytest.raises(exceptions.Conflict, match="entity already exists"):
        commit(client, types.Mutation(insert=message(client, "Row", "a", n=2)))
    with pytest.raises(exceptions.NotFound, match="no entity to update"):
        commit(client, types.Mutation(update=message(client, "Row", "b", n=2)))

    commit(client, types.Mutation(update=message(client, "Row", "a", n=3)))
    commit(client, types.Mutation(upsert=message(client, "Row", "b", n=4)))

    assert [entity["n"] for entity in client.query(kind="Row").fetch()] == [3, 4]


def test_a_refused_mutation_leaves_nothing_of_its_commit(client):
    with pytest.raises(exceptions.NotFound):
        commit(
            client,
            types.Mutation(upsert=message(client, "Row", "a", n=1)),
            types.Mutation(update=message(client, "Row", "none", n=1)),
        )

    assert client.get(client.key("Row", "a")) is None


@pytest.mark.parametrize(
    ("first", "second", "allowed"),
    [
        ("insert", "insert", False),
        ("update", "insert", False),
        ("upsert", "insert", False),
        ("delete", "update", False),
        ("delete", "insert", True),
        ("insert", "update", True),
        ("upsert", "upsert", True),
        ("upsert", "delete", True),
    ],
)
def test_mutations_of_one_entity_apply_in_order_where_the_service_allows(
    client, first, second, allowed
):
    def mutation(operation, n):
        if operation == "delete":
            return types.Mutation(delete=client.key("Row", "x").to_protobuf())
        return types.Mutation(**{operation: message(client, "Row", "x", n=n)})

    if first != "insert":
        commit(client, types.Mutation(upsert=message(client, "Row", "x", n=0)))
    pair = (mutation(first, 1), mutation(second, 2))

    with pytest.raises(exceptions.BadRequest, match="same entity"):
        commit(client, *pair)
    if not allowed:
        with pytest.raises(exceptions.BadRequest, match=f"Cannot {first} then {second}"):
            commit(client, *pair, transactional=True)
        return
    commit(client, *pair, transactional=True)
    found = client.get(client.key("Row", "x"))
    assert found is None if second == "delete" else found["n"] == 2


def test_versions_and_times_tell_when_an_entity_changed(world, client):
    first = commit(client, types.Mutation(upsert=message(client, "Row", "v", n=1)))
    world.advance(60)
    same = commit(client, types.Mutation(upsert=message(client, "Row", "v", n=1)))
    changed = commit(client, types.Mutation(upsert=message(client, "Row", "v", n=2)))
    result = client._datastore_api.lookup(
        request=types.LookupRequest(
            project_id=client.project, keys=[client.key("Row", "v").to_protobuf()]
        )
    ).found[0]

    one, two, three = (r.mutation_results[0] for r in (first, same, changed))
    assert one.version == two.version < three.version == result.version
    assert one.update_time == two.update_time < three.update_time == result.update_time
    assert one.create_time == three.create_time == result.create_time


def test_an_entity_that_is_deleted_and_put_in_one_commit_is_a_new_one(world, client):
    again = types.Mutation(upsert=message(client, "Row", "v", n=1))
    (first,) = commit(client, again).mutation_results
    world.advance(60)
    delete = types.Mutation(delete=client.key("Row", "v").to_protobuf())

    (*_, second) = commit(client, delete, again, transactional=True).mutation_results

    assert second.create_time == second.update_time > first.create_time
    assert second.version > first.version


def test_a_mutation_made_for_another_version_is_not_applied(client):
    first = commit(client, types.Mutation(upsert=message(client, "Row", "b", n=1)))
    version = first.mutation_results[0].version
    second = commit(
        client, types.Mutation(upsert=message(client, "Row", "b", n=2), base_version=version)
    )

    kept = commit(
        client, types.Mutation(upsert=message(client, "Row", "b", n=3), base_version=version)
    )
    with pytest.raises(exceptions.BadRequest, match="does not match the required base version"):
        commit(
            client,
            types.Mutation(
                upsert=message(client, "Row", "b", n=4),
                base_version=version,
                conflict_resolution_strategy="FAIL",
            ),
        )

    assert not second.mutation_results[0].conflict_detected
    assert kept.mutation_results[0].conflict_detected
    assert kept.mutation_results[0].version == second.mutation_results[0].version
    assert client.get(client.key("Row", "b"))["n"] == 2


def test_a_masked_mutation_touches_only_what_the_mask_names(client):
    put(client, "Row", "m", a=1, b=2, c=3)

    commit(
        client,
        types.Mutation(
            upsert=message(client, "Row", "m", a=10, d=40), property_mask={"paths": ["a", "c"]}
        ),
    )

    assert dict(client.get(client.key("Row", "m"))) == {"a": 10, "b": 2}


def test_transforms_compute_from_what_is_stored(client):
    put(client, "Row", "t", n=2**63 - 3, tags=["a"], low=5, gone=["x", "y"])
    integer, text = types.Value(integer_value=4), types.Value(string_value="a")
    new = types.Value(string_value="b")

    commit(
        client,
        types.Mutation(
            update=message(client, "Row", "t"),
            property_mask={"paths": []},
            property_transforms=[
                {"property": "n", "increment": integer},
                {"property": "fresh", "increment": integer},
                {"property": "low", "minimum": integer},
                {"property": "high", "maximum": types.Value(double_value=1.5)},
                {"property": "tags", "append_missing_elements": {"values": [text, new, new]}},
                {
                    "property": "gone",
                    "remove_all_from_array": {"values": [types.Value(string_value="x")]},
                },
                {"property": "at", "set_to_server_value": "REQUEST_TIME"},
            ],
        ),
    )

    found = client.get(client.key("Row", "t"))
    at = found.pop("at")
    assert at.microsecond % 1000 == 0
    assert dict(found) == {
        "n": 2**63 - 1,
        "fresh": 4,
        "low": 4,
        "high": 1.5,
        "tags": ["a", "b"],
        "gone": ["y"],
    }


def test_a_lookup_can_ask_for_some_properties(client):
    inner = datastore.Entity()
    inner.update({"x": 1, "y": 2})
    put(client, "Row", "p", a=1, b=2, inner=inner)

    response = client._datastore_api.lookup(
        request=types.LookupRequest(
            project_id=client.project,
            keys=[client.key("Row", "p").to_protobuf()],
            property_mask={"paths": ["a", "inner.y", "none"]},
        )
    )

    properties = response.found[0].entity.properties
    assert set(properties) == {"a", "inner"}
    assert set(properties["inner"].entity_value.properties) == {"y"}


def test_namespaces_databases_and_projects_are_kept_apart(world):
    clients = [
        world.client("apart"),
        world.client("apart", namespace="n"),
        world.client("apart", database="d"),
        world.client("other"),
    ]
    for number, client in enumerate(clients):
        put(client, "Place", 1, n=number)

    for number, client in enumerate(clients):
        assert [entity["n"] for entity in client.query(kind="Place").fetch()] == [number]
        assert client.get(client.key("Place", 1))["n"] == number


@pytest.mark.parametrize(
    ("properties", "text"),
    [
        ({"x": "a" * 1501}, 'property "x" is longer than 1500 bytes'),
        ({"x": ["é" * 751]}, 'property "x" is longer than 1500 bytes'),
        ({"x": b"a" * 1501}, 'property "x" is longer than 1500 bytes'),
        ({"": 1}, "property.name is the empty string"),
        ({"a" * 1501: 1}, "property.name is longer than 1500 bytes"),
        ({"__x__": 1}, 'property.name "__x__" is reserved'),
    ],
)
def test_properties_beyond_the_limits_are_refused(client, properties, text):
    with pytest.raises(exceptions.BadRequest, match=text):
        put(client, "Row", "limit", **properties)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("__A__", 1), 'kind "__A__" is reserved'),
        (("A", "__x__"), 'name "__x__" is reserved'),
        (("A", "x" * 1501), "longer than 1500 bytes"),
        (("A", "x" * 1400) * 6, "longer than 6144 bytes"),
    ],
)
def test_keys_beyond_the_limits_are_refused(client, path, text):
    with pytest.raises(exceptions.BadRequest, match=text):
        put(client, *path[:-2], *path[-2:]) if len(path) == 2 else client.put(
            datastore.Entity(client.key(*path))
        )


def test_values_beyond_the_limits_are_refused(client):
    nested = types.Value(array_value={"values": [{"array_value": {"values": []}}]})
    excluded = types.Value(array_value={"values": []}, exclude_from_indexes=True)
    for value, text in (
        (nested, "cannot contain a Value containing another list_value"),
        (excluded, "Exclude from indexes cannot be set on a list value"),
        (types.Value(), "does not contain a value"),
    ):
        entity = message(client, "Row", "v")
        entity.properties["x"] = value
        with pytest.raises(exceptions.BadRequest, match=text):
            commit(client, types.Mutation(upsert=entity))
    deep = datastore.Entity()
    for _ in range(21):
        outer = datastore.Entity()
        outer["in"] = deep
        deep = outer
    with pytest.raises(exceptions.BadRequest, match="nested more than 20"):
        put(client, "Row", "deep", x=deep)
    with pytest.raises(exceptions.BadRequest, match="limit is 1048572"):
        put(client, "Row", "big", exclude=["a", "b"], a=bytes(600_000), b=bytes(600_000))


def test_an_entity_has_at_most_two_megabytes_of_composite_index_entries(client):
    put(client, "Pair", "first", a=["x"], b=["y"])
    query = client.query(kind="Pair", order=["a", "-b"])
    assert names(query.fetch()) == ["first"]
    texts = [f"{n:0>1400}" for n in range(30)]
    put(client, "Pair", "fits", a=texts, b=texts[:20])

    with pytest.raises(exceptions.BadRequest, match=r"composite indexes .* 2097152 bytes"):
        put(client, "Pair", "second", a=texts, b=texts)

    assert names(query.fetch()) == ["fits", "first"]
    # What was stored before the index was made can still be changed and deleted.
    put(client, "Late", "first", a=texts, b=texts)
    query = client.query(kind="Late", order=["a", "-b"])
    assert names(query.fetch()) == ["first"]
    put(client, "Late", "first", a=texts)
    client.delete(client.key("Late", "first"))


def test_an_entity_has_at_most_500_transforms_in_a_commit(client):
    def mutation(count):
        counting = types.PropertyTransform(property="n", increment={"integer_value": 1})
        return types.Mutation(
            upsert=message(client, "Row", "counted", n=0), property_transforms=[counting] * count
        )

    commit(client, mutation(250), mutation(250), transactional=True)
    with pytest.raises(exceptions.BadRequest, match="more than 500 property transforms"):
        commit(client, mutation(250), mutation(251), transactional=True)


def test_a_commit_of_more_than_ten_megabytes_is_refused(client):
    entities = []
    for n in range(1, 12):
        entity = datastore.Entity(client.key("Big", n), exclude_from_indexes=["blob"])
        entity["blob"] = bytes(1_000_000)
        entities.append(entity)

    with pytest.raises(exceptions.BadRequest, match="bigger than 10485760 bytes"):
        client.put_multi(entities)


def test_more_than_a_thousand_keys_are_refused(client):
    with pytest.raises(exceptions.BadRequest, match="more than 1000 keys"):
        client.get_multi([client.key("Row", n) for n in range(1, 1002)])


def test_a_key_of_another_project_is_refused(client):
    request = types.LookupRequest(
        project_id=client.project,
        keys=[{"partition_id": {"project_id": "foreign"}, "path": [{"kind": "A", "id": 1}]}],
    )
    with pytest.raises(exceptions.BadRequest, match="mismatched projects"):
        client._datastore_api.lookup(request=request)


def test_the_name_default_is_no_database(client):
    with pytest.raises(exceptions.BadRequest, match="invalid database id"):
        client._datastore_api.lookup(
            request=types.LookupRequest(project_id=client.project, database_id="(default)")
        )


def test_what_is_stored_survives_a_restart_with_its_indexes(loop, tmp_path):
    path = tmp_path / "state.db"
    with running(loop, path, seed=1) as before:
        client = before.client()
        for n in range(20):
            put(client, "Row", n + 1, group=n % 2, n=n)
        query = client.query(kind="Row", order=["-n"])
        query.add_filter(filter=datastore.query.PropertyFilter("group", "=", 1))
        expected = names(query.fetch())
        auto = datastore.Entity(client.key("Auto"))
        client.put(auto)
        version = before.server._store.version
    with running(loop, path, seed=1) as after:
        query._client = client = after.client()
        put(client, "Row", 21, group=1, n=100)
        again = datastore.Entity(client.key("Auto"))
        client.put(again)

        assert names(query.fetch(client=client)) == [21, *expected]
        assert client.get(client.key("Row", 3))["n"] == 2
        assert again.key != auto.key
        assert after.server._store.version > version


_KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from adjourn_local.timing.clocks import MachineClock
from adjourn_local.datastore import DatastoreServer, messages

server = DatastoreServer(Path(sys.argv[1]), MachineClock())
for number in range(1, 51):
    request = messages.CommitRequest(project_id="demo", mode=2)
    entity = request.mutations.add().upsert
    entity.key.path.add(kind="Row", id=number)
    entity.properties["n"].integer_value = number
    asyncio.run(server._commit(request))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_committed_survives_kill_nine(loop, tmp_path):
    path = tmp_path / "state.db"
    ended = subprocess.run([sys.executable, "-c", _KILLED, path], env=_environment(), check=False)
    assert ended.returncode == -signal.SIGKILL

    with running(loop, path) as world:
        query = world.client().query(kind="Row", order=["-n"])
        assert names(query.fetch()) == list(range(50, 0, -1))


CLIENT = """
from google.cloud import datastore
client = datastore.Client(project="plain")
assert not client._use_grpc
entity = datastore.Entity(client.key("Row", 1)); entity["n"] = 5
client.put(entity)
print(client.get(entity.key)["n"])
"""
STORE = """
from adjourn.concurrency import PerProcess
from adjourn.gcp.datastore_api import datastore_client
from adjourn.gcp.datastore_store import DatastoreStore
from adjourn.ports import RecordKey
from adjourn.testing import SETTINGS
client = PerProcess(lambda: datastore_client(SETTINGS))
assert not client()._use_grpc
store, key = DatastoreStore(client), RecordKey("Row", "a")
store.transact(lambda it: it.put(key, {"n": 1}))
store.transact(lambda it: it.put(key, {"n": it.get([key])[0]["n"] + 2}))
store.replace(key, {"n": store.get([key])[0]["n"] + 2}, version=store.read([key])[0].version)
try:
    store.transact(lambda it: it.put(key, {"n": 1 / len(it.get([])) if it.get([key]) else 0}))
except ZeroDivisionError:
    print(store.get([key])[0]["n"])
"""


@pytest.mark.parametrize("code", [CLIENT, STORE])
def test_the_client_without_grpc_talks_http(world, code):
    environment = _environment() | {
        "DATASTORE_EMULATOR_HOST": world.http_address,
        "GOOGLE_CLOUD_DISABLE_GRPC": "1",
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=environment,
        capture_output=True,
        check=True,
    )

    assert done.stdout.strip() == b"5"


def _environment():
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {**os.environ, "PYTHONPATH": path}
