"""Datastore's transactions: isolation, conflicts, expiry, and what each answer carries."""

import pytest
from google.api_core import exceptions
from google.cloud import datastore
from google.cloud.datastore_v1 import types

from tests.contract.datastore_calls import begin, commit, count, lookup, rows, upsert
from tests.contract.datastore_world import names, put, running

GONE = "expired or is no longer valid"


def test_a_committed_transaction_takes_effect_at_once(client):
    put(client, "Row", "a", n=1)

    with client.transaction():
        entity = client.get(client.key("Row", "a"))
        entity["n"] += 1
        client.put(entity)
        client.put(datastore.Entity(client.key("Row", "b")))

    assert client.get(entity.key)["n"] == 2
    assert names(rows(client).fetch()) == ["a", "b"]


def test_a_failed_block_rolls_back(client):
    def fail():
        with client.transaction():
            put(client, "Row", "a", n=1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert client.get(client.key("Row", "a")) is None


def test_reads_see_the_start_and_neither_own_writes_nor_those_of_others(client, other):
    put(client, "Row", "a", n=1)
    put(client, "Row", "b", n=2)

    with client.transaction(read_only=True):
        assert client.get(client.key("Row", "a"))["n"] == 1
        put(other, "Row", "a", n=10)
        put(other, "Row", "c", n=3)
        other.delete(other.key("Row", "b"))

        assert client.get(client.key("Row", "a"))["n"] == 1
        assert names(rows(client).fetch()) == ["a", "b"]
        assert names(rows(client, ("n", ">", 1)).fetch()) == ["b"]
        assert count(client, rows(client)) == 2
    assert names(rows(client).fetch()) == ["a", "c"]

    with client.transaction() as transaction:
        assert client.get(client.key("Row", "a"))["n"] == 10
        transaction.put(put_later(client, "Row", "a", n=11))
        assert client.get(client.key("Row", "a"))["n"] == 10


def put_later(client, kind, name, **properties):
    entity = datastore.Entity(client.key(kind, name))
    entity.update(properties)
    return entity


def test_an_index_made_after_the_snapshot_is_computed_from_the_snapshot(client, other):
    for n in range(6):
        put(client, "Row", f"r{n}", group=n % 2, n=n, tags=[n, n + 1])
    query = rows(client, ("group", "=", 1), order=["-n"])

    with client.transaction(read_only=True):
        client.get(client.key("Row", "r0"))
        other.delete(other.key("Row", "r3"))
        put(other, "Row", "r9", group=1, n=9)

        assert names(query.fetch()) == ["r5", "r3", "r1"]
        assert names(query.fetch(limit=2)) == ["r5", "r3"]
        assert names(rows(client, ("group", "=", 0), order=["tags"]).fetch()) == ["r0", "r2", "r4"]
        assert count(client, rows(client, ("group", "=", 1), ("n", ">", 0))) == 3
    assert names(query.fetch()) == ["r9", "r5", "r1"]


def test_a_transaction_expires_after_a_minute_without_use(world, client):
    transaction = begin(client)
    world.advance(59)
    lookup(client, transaction=transaction)
    world.advance(59)
    lookup(client, transaction=transaction)
    world.advance(60)

    with pytest.raises(exceptions.BadRequest, match=GONE):
        lookup(client, transaction=transaction)
    with pytest.raises(exceptions.BadRequest, match=GONE):
        commit(client, transaction, upsert(client))


def test_a_transaction_expires_after_270_seconds_however_busy(world, client):
    transaction = begin(client)
    for _ in range(9):
        world.advance(29)
        lookup(client, transaction=transaction)
    world.advance(9)

    with pytest.raises(exceptions.BadRequest, match=GONE):
        commit(client, transaction, upsert(client))


def test_a_transaction_ends_once(client):
    committed, rolled_back = begin(client), begin(client)
    commit(client, committed, upsert(client))
    rollback = {"project_id": client.project, "transaction": rolled_back}
    client._datastore_api.rollback(request=types.RollbackRequest(rollback))

    client._datastore_api.rollback(request=types.RollbackRequest(rollback))
    for transaction in (committed, rolled_back):
        with pytest.raises(exceptions.BadRequest, match=GONE):
            commit(client, transaction, upsert(client))
    with pytest.raises(exceptions.BadRequest, match="Invalid transaction"):
        commit(client, b"abc", upsert(client))


def test_a_read_only_transaction_cannot_write(client):
    transaction = begin(client, read_only={})

    with pytest.raises(exceptions.BadRequest, match="read-only transaction"):
        commit(client, transaction, upsert(client))
    commit(client, begin(client, read_only={}))


def test_a_read_can_begin_the_transaction_that_it_belongs_to(client, other):
    query = types.RunQueryRequest(
        project_id=client.project,
        query={"kind": [{"name": "Row"}]},
        read_options={"new_transaction": {}},
    )
    aggregation = types.RunAggregationQueryRequest(
        project_id=client.project,
        aggregation_query={
            "nested_query": {"kind": [{"name": "Row"}]},
            "aggregations": [{"count": {}}],
        },
        read_options={"new_transaction": {}},
    )
    begun = [
        lookup(client, new_transaction={}).transaction,
        client._datastore_api.run_query(request=query).transaction,
        client._datastore_api.run_aggregation_query(request=aggregation).transaction,
    ]
    assert len({*begun, b""}) == 4
    put(other, "Other", "b", n=1)
    for transaction in begun:
        assert not lookup(client, transaction=transaction).found
        commit(client, transaction)


def test_the_client_can_begin_with_its_first_read(client):
    put(client, "Row", "a", n=1)

    with client.transaction(begin_later=True):
        entity = client.get(client.key("Row", "a"))
        entity["n"] = 2
        client.put(entity)

    assert client.get(entity.key)["n"] == 2


def test_the_modes_of_a_commit_and_its_transaction_must_agree(client):
    def send(**fields):
        fields |= {"project_id": client.project, "mutations": [upsert(client)]}
        return client._datastore_api.commit(request=types.CommitRequest(fields))

    with pytest.raises(exceptions.BadRequest, match="requires a transaction"):
        send(mode="TRANSACTIONAL")
    with pytest.raises(exceptions.BadRequest, match="cannot specify a transaction"):
        send(mode="NON_TRANSACTIONAL", transaction=begin(client))
    with pytest.raises(exceptions.BadRequest, match="read-only"):
        send(mode="TRANSACTIONAL", single_use_transaction={"read_only": {}})
    assert send(mode="TRANSACTIONAL", single_use_transaction={}).mutation_results


def test_transactions_do_not_outlive_the_server(loop, tmp_path):
    with running(loop, tmp_path / "state.db") as before:
        client = before.client()
        put(client, "Row", "a", n=1)
        transaction = begin(client)
        lookup(client, transaction=transaction)
    with running(loop, tmp_path / "state.db") as after:
        client = after.client()

        with pytest.raises(exceptions.BadRequest, match=GONE):
            lookup(client, transaction=transaction)
        assert client.get(client.key("Row", "a"))["n"] == 1
