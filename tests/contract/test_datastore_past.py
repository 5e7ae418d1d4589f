"""Reads at a time in the past, by the arguments that Google's client has for them."""

import datetime as dt
import random

import pytest
from google.api_core import exceptions
from google.cloud import datastore
from google.cloud.datastore_v1 import types

from tests.contract.datastore_queries import Spec, fill, random_spec
from tests.contract.datastore_world import names, put, running


@pytest.fixture
def world(loop, tmp_path):
    with running(loop, tmp_path / "state.db") as running_world:
        yield running_world


@pytest.fixture
def client(world):
    return world.client()


def later(world, seconds=1):
    """Let time pass and return the time before."""
    then = world.clock.now()
    world.advance(seconds)
    return then


def test_an_entity_is_read_as_it_was(world, client):
    key = client.key("Row", "a")
    before = later(world)
    put(client, "Row", "a", n=1)
    first = later(world)
    put(client, "Row", "a", n=2)
    second = later(world)
    client.delete(key)

    found = [client.get(key, read_time=then) for then in (before, first, second)]
    assert found == [None, {"n": 1}, {"n": 2}]
    assert client.get(key) is None


def test_an_answer_tells_the_time_that_was_asked_for(world, client):
    put(client, "Row", "a", n=1)
    then = later(world)
    request = types.LookupRequest(
        project_id=client.project,
        keys=[client.key("Row", "a").to_protobuf(), client.key("Row", "b").to_protobuf()],
        read_options={"read_time": then},
    )
    answer = client._datastore_api.lookup(request=request)
    assert answer.read_time == then
    assert answer.missing[0].version <= answer.found[0].version + 1_000_000


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_query_finds_what_it_would_have_found_then(world, client, seed):
    rng = random.Random(seed)
    specs = [Spec(kind="S"), Spec(kind="M"), *(random_spec(rng) for _ in range(12))]
    seen = []
    for _ in range(5):
        fill(client, rng, count=12)
        seen.append((later(world), [rows(spec.fetch(client)) for spec in specs]))

    for then, expected in seen:
        found = [rows(spec.fetch(client, read_time=then)) for spec in specs]
        assert found == expected
    assert [rows(spec.fetch(client)) for spec in specs] == seen[-1][1]


def rows(found):
    return [(entity.key.flat_path, repr(sorted(entity.items(), key=str))) for entity in found]


def test_a_query_that_needs_a_new_index_reads_the_past_too(world, client):
    for number in range(5):
        put(client, "Row", number + 1, n=number, m=number % 2)
    then = later(world)
    for number in range(5):
        put(client, "Row", number + 1, n=-number, m=0)

    query = client.query(kind="Row", order=["-m", "-n"])
    assert names(query.fetch(read_time=then)) == [4, 2, 5, 3, 1]
    assert names(query.fetch()) == [1, 2, 3, 4, 5]


def test_a_count_is_taken_of_the_past(world, client):
    put(client, "Row", "a", n=1)
    then = later(world)
    put(client, "Row", "b", n=1)
    counting = client.aggregation_query(client.query(kind="Row")).count()

    assert [next(iter(batch)).value for batch in counting.fetch(read_time=then)] == [1]
    assert [next(iter(batch)).value for batch in counting.fetch()] == [2]


def test_a_read_only_transaction_reads_the_past(world, client):
    put(client, "Row", "a", n=1)
    then = later(world)
    put(client, "Row", "a", n=2)

    with client.transaction(read_only=True, read_time=then):
        assert client.get(client.key("Row", "a")) == {"n": 1}
        assert [entity["n"] for entity in client.query(kind="Row").fetch()] == [1]


def test_writing_goes_on_after_a_read_of_the_past(world, client):
    put(client, "Row", "a", n=1)
    then = later(world)
    client.delete(client.key("Row", "a"))
    put(client, "Row", "b", n=2)
    assert names(client.query(kind="Row").fetch(read_time=then)) == ["a"]

    with client.transaction():
        row = client.get(client.key("Row", "b"))
        row["n"] += 1
        client.put(row)
    assert [dict(entity) for entity in client.query(kind="Row").fetch()] == [{"n": 3}]
    assert names(client.query(kind="Row").fetch(read_time=then)) == ["a"]


def test_only_the_last_hour_is_known(world, client):
    put(client, "Row", "a", n=1)
    then = later(world, 3600)
    assert client.get(client.key("Row", "a"), read_time=then) == {"n": 1}

    world.advance(1)
    with pytest.raises(exceptions.FailedPrecondition, match="too old"):
        client.get(client.key("Row", "a"), read_time=then)


def test_nothing_is_known_from_before_the_start(loop, tmp_path):
    with running(loop, tmp_path / "state.db") as first:
        put(first.client(), "Row", "a", n=1)
    with running(loop, tmp_path / "state.db") as second:
        client = second.client()
        past = second.clock.now() - dt.timedelta(seconds=1)
        with pytest.raises(exceptions.FailedPrecondition, match="nothing from before its start"):
            client.get(client.key("Row", "a"), read_time=past)
        second.advance(1)
        assert client.get(client.key("Row", "a"), read_time=second.clock.now()) == {"n": 1}


@pytest.mark.parametrize(
    ("read_time", "text"),
    [
        ({"seconds": 4_000_000_000}, "cannot be in the future"),
        ({"seconds": 1, "nanos": 5}, "more than microseconds precision"),
    ],
)
def test_a_time_that_cannot_be_is_refused(client, read_time, text):
    for ask in (read_at, begin_at):
        with pytest.raises(exceptions.InvalidArgument, match=text):
            ask(client, read_time)


def read_at(client, read_time):
    request = types.RunQueryRequest(
        project_id=client.project,
        query={"kind": [{"name": "Row"}]},
        read_options={"read_time": read_time},
    )
    return client._datastore_api.run_query(request=request)


def begin_at(client, read_time):
    request = types.BeginTransactionRequest(
        project_id=client.project, transaction_options={"read_only": {"read_time": read_time}}
    )
    return client._datastore_api.begin_transaction(request=request)


def test_large_changes_are_forgotten_sooner(world, client, monkeypatch):
    monkeypatch.setattr("adjourn_local.datastore.history._MAX_BYTES", 3000)
    moments = []
    for number in range(4):
        entity = datastore.Entity(client.key("Row", "a"), exclude_from_indexes=["text"])
        entity["text"] = str(number) * 1000
        client.put(entity)
        moments.append(later(world))

    assert client.get(client.key("Row", "a"), read_time=moments[2])["text"] == "2" * 1000
    with pytest.raises(exceptions.FailedPrecondition, match="too old"):
        client.get(client.key("Row", "a"), read_time=moments[0])
