"""Transactions that meet: who waits, who is aborted, and who is not disturbed."""

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.api_core import exceptions
from google.cloud.datastore_v1 import types

from adjourn_local.datastore import Concurrency
from tests.contract.datastore_calls import (
    begin,
    commit,
    count,
    is_waited,
    lookup,
    rows,
    until,
    upsert,
    waiting,
)
from tests.contract.datastore_world import put, running

CROSSED = "cross-transaction contention"
CROWDED = "Too much contention on these datastore entities. Please try again."

DISTURBED = {
    "lookup": lambda c: c.get(c.key("Row", "a")),
    "missing": lambda c: c.get(c.key("Row", "new")),
    "kind": lambda c: list(rows(c).fetch()),
    "inequality": lambda c: list(rows(c, ("n", ">", 0)).fetch()),
    "empty query": lambda c: list(rows(c, ("n", "=", 5)).fetch()),
    "count": lambda c: count(c, rows(c)),
}
UNDISTURBED = {
    "lookup": lambda c: c.get(c.key("Row", "b")),
    "range below": lambda c: list(rows(c, ("n", "<", 3)).fetch()),
    "limit": lambda c: list(rows(c, order=["n"]).fetch(limit=2)),
    "other kind": lambda c: list(rows(c, kind="Other").fetch()),
    "count": lambda c: count(c, rows(c, ("n", ">", 1), ("n", "<", 9))),
}

disturbed = pytest.mark.parametrize("read", DISTURBED.values(), ids=list(DISTURBED))
undisturbed = pytest.mark.parametrize("read", UNDISTURBED.values(), ids=list(UNDISTURBED))


@pytest.fixture(params=Concurrency, ids=lambda mode: mode.value)
def either(request, loop, tmp_path):
    with running(loop, tmp_path / "state.db", concurrency=request.param) as running_world:
        yield running_world


@pytest.fixture
def optimistic(loop, tmp_path):
    with running(loop, tmp_path / "state.db", concurrency=Concurrency.OPTIMISTIC) as running_world:
        yield running_world


def value(client, name="a"):
    return client.get(client.key("Row", name))["n"]


def upserted(client, name, n):
    entity = {
        "key": client.key("Row", name).to_protobuf(),
        "properties": {"n": {"integer_value": n}},
    }
    return types.Mutation(upsert=entity)


def commit_plain(client, *mutations, **options):
    return client._datastore_api.commit(
        request=types.CommitRequest(
            project_id=client.project, mode="NON_TRANSACTIONAL", mutations=list(mutations)
        ),
        **options,
    )


def retry(client, before):
    return begin(client, read_write={"previous_transaction": before})


def roll_back(client, transaction):
    client._datastore_api.rollback(
        request={"project_id": client.project, "transaction": transaction}
    )


@undisturbed
def test_a_transaction_is_not_disturbed_by_changes_beside_its_reads(either, read):
    client, other = either.client(), either.client()
    put(client, "Row", "a", n=7)
    put(client, "Row", "b", n=1)
    put(client, "Row", "c", n=2)

    with client.transaction():
        read(client)
        put(other, "Row", "a", n=8)
        put(client, "Row", "mine", n=0)

    assert value(client, "mine") == 0


def test_writes_without_reads_never_conflict(either):
    client, other = either.client(), either.client()

    with client.transaction():
        put(client, "Row", "a", n=1)
        put(other, "Row", "a", n=2)

    assert value(client) == 1


def test_a_read_only_transaction_holds_nothing(either):
    client, other = either.client(), either.client()
    put(client, "Row", "a", n=1)

    with client.transaction(read_only=True):
        assert value(client) == 1
        put(other, "Row", "a", n=2)
        assert value(client) == 1

    assert value(client) == 2


def test_concurrent_increments_are_never_lost(either):
    put(either.client(), "Row", "a", n=0)

    def increment(_):
        client = either.client()
        while True:
            try:
                with client.transaction():
                    entity = client.get(client.key("Row", "a"))
                    entity["n"] += 1
                    client.put(entity)
            except exceptions.Conflict:
                continue
            return

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(increment, range(10)))

    assert value(either.client()) == 10


@disturbed
def test_an_optimistic_commit_is_aborted_when_its_reads_would_differ_now(optimistic, read):
    client, other = optimistic.client(), optimistic.client()
    put(client, "Row", "a", n=1)

    def work():
        with client.transaction():
            read(client)
            put(other, "Row", "a", n=5)
            put(other, "Row", "new", n=6)
            put(client, "Row", "mine", n=0)

    with pytest.raises(exceptions.Conflict, match=CROSSED):
        work()

    assert client.get(client.key("Row", "mine")) is None


@disturbed
@pytest.mark.parametrize("failure", [None, ZeroDivisionError], ids=["commit", "rollback"])
def test_a_write_waits_for_the_transaction_that_it_would_disturb(
    world, client, other, read, failure
):
    put(client, "Row", "a", n=1)
    changes = [upserted(other, "a", 5), upserted(other, "new", 6)]
    transaction = client.transaction()
    transaction.__enter__()
    read(client)

    with waiting(world, lambda: commit_plain(other, *changes)):
        read(client)
        transaction.__exit__(failure, None, None)

    assert [value(client), value(client, "new")] == [5, 6]


def test_a_write_that_has_waited_for_two_seconds_is_aborted(world, client, other):
    put(client, "Row", "a", n=1)
    reader = begin(other)
    lookup(other, transaction=reader)

    with pytest.raises(exceptions.Conflict, match=CROWDED):  # noqa: SIM117 - the block raises
        with waiting(world, lambda: put(client, "Row", "a", n=2)):
            world.advance(2)

    assert value(client) == 1
    commit(other, reader, upserted(other, "a", 3))
    assert value(client) == 3


def test_a_write_is_let_through_when_the_transaction_it_waits_for_expires(world, client, other):
    put(client, "Row", "a", n=1)
    reader = begin(other)
    lookup(other, transaction=reader)
    world.advance(59)

    with waiting(world, lambda: put(client, "Row", "a", n=2)):
        world.advance(2)

    assert value(client) == 2
    with pytest.raises(exceptions.BadRequest, match="expired"):
        commit(other, reader)


def test_an_older_transaction_aborts_the_younger_ones_that_it_disturbs(client, other):
    older, younger, beside = begin(client), begin(other), begin(other)
    for transaction in (older, younger):
        lookup(client, transaction=transaction)

    commit(client, older, upserted(client, "a", 1))

    for _ in range(2):
        with pytest.raises(exceptions.Conflict, match=CROSSED):
            lookup(other, transaction=younger)
    with pytest.raises(exceptions.Conflict, match=CROSSED):
        commit(other, younger, upserted(other, "a", 2))
    roll_back(other, younger)
    commit(other, beside, upserted(other, "b", 3))
    assert [value(client), value(client, "b")] == [1, 3]


def test_a_younger_transaction_waits_until_the_older_one_gives_up(world, client, other):
    older, younger = begin(other), begin(client)
    for transaction in (older, younger):
        lookup(other, transaction=transaction)

    with waiting(world, lambda: commit(client, younger, upserted(client, "a", 2))):
        roll_back(other, older)

    assert value(client) == 2


def test_a_younger_transaction_that_waits_is_aborted_by_the_older_one(world, client, other):
    older, younger = begin(other), begin(client)
    for transaction in (older, younger):
        lookup(other, transaction=transaction)

    with pytest.raises(exceptions.Conflict, match=CROSSED):  # noqa: SIM117 - the block raises
        with waiting(world, lambda: commit(client, younger, upserted(client, "a", 2))):
            commit(other, older, upserted(other, "a", 1))

    assert value(client) == 1


def test_a_younger_transaction_that_has_read_nothing_comes_after_the_older_one(
    world, client, other
):
    older, younger = begin(other), begin(client)
    lookup(other, transaction=older)

    with waiting(world, lambda: commit(client, younger, upserted(client, "a", 2))):
        commit(other, older, upserted(other, "a", 1))

    assert value(client) == 2


def test_a_transaction_that_is_tried_again_is_as_old_as_it_was(client, other):
    first, second, third = begin(client), begin(client), begin(other)
    for transaction in (first, second):
        lookup(client, transaction=transaction)
    commit(client, first, upserted(client, "a", 1))
    with pytest.raises(exceptions.Conflict):
        commit(client, second, upserted(client, "a", 2))

    again = retry(client, second)
    for transaction in (third, again):
        lookup(other, transaction=transaction)
    commit(client, again, upserted(client, "a", 2))

    assert value(client) == 2
    with pytest.raises(exceptions.Conflict):
        commit(other, third, upserted(other, "a", 3))


def test_what_had_to_wait_is_done_once(world, client, other):
    put(client, "Row", "a", n=1)
    reader = begin(other)
    lookup(other, transaction=reader)
    increment = upsert(client)
    increment.property_transforms = [{"property": "n", "increment": {"integer_value": 2}}]
    increment.property_mask = {"paths": ["m"]}

    with waiting(world, lambda: commit_plain(client, increment)):
        commit(other, reader, upserted(other, "a", 10))

    assert value(client) == 12


def test_a_write_whose_caller_gives_up_waiting_is_not_done(world, other):
    put(other, "Row", "a", n=1)
    reader = begin(other)
    lookup(other, transaction=reader)
    request = types.CommitRequest(
        project_id=other.project, mode="NON_TRANSACTIONAL", mutations=[upserted(other, "a", 2)]
    )

    with grpc.insecure_channel(world.grpc_address) as channel:
        send = channel.unary_unary(
            "/google.datastore.v1.Datastore/Commit",
            request_serializer=types.CommitRequest.serialize,
            response_deserializer=types.CommitResponse.deserialize,
        )
        call = send.future(request)
        until(lambda: is_waited(world))
        call.cancel()
        until(lambda: not is_waited(world))
    roll_back(other, reader)

    assert value(other) == 1


def test_a_commit_that_reads_and_writes_the_same_is_not_in_its_own_way(client):
    put(client, "Row", "a", n=1)

    with client.transaction():
        entity = client.get(client.key("Row", "a"))
        list(rows(client).fetch())
        entity["n"] += 1
        client.put(entity)

    assert value(client) == 2


def test_an_aborted_transaction_can_be_tried_again_as_a_new_one(optimistic):
    client, other = optimistic.client(), optimistic.client()
    first = begin(client)
    lookup(client, transaction=first)
    put(other, "Row", "a", n=1)
    with pytest.raises(exceptions.Conflict):
        commit(client, first, upsert(client))

    again = retry(client, first)
    lookup(client, transaction=again)

    assert commit(client, again, upsert(client)).mutation_results
