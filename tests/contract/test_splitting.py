"""A query in pieces: whatever its keys are, each entity is in one of them, and they are even."""

import itertools
import random

import pytest
from google.cloud import datastore
from google.cloud.datastore.query import PropertyFilter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adjourn.gcp.datastore_queries import DatastoreQueries
from adjourn.gcp.described_queries import between, sampled_cuts
from adjourn.gcp.query_splitter import QuerySplitter
from tests.contract.datastore_world import connect

COUNT = 10_000

numbers = itertools.count(1)  # every example has a database of its own
ids = st.integers(1, 2**63 - 1) | st.integers(1, 50)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6).filter(
    lambda name: not (name.startswith("__") and name.endswith("__"))
)
paths = st.lists(st.tuples(st.sampled_from(["Row", "A"]), ids | names), max_size=2).map(
    lambda above: tuple(itertools.chain(*above))
)
rows = st.lists(st.tuples(paths, ids | names), unique=True, max_size=30)


def keys(client, found):
    return [client.key(*above, "Row", last) for above, last in found]


def put(client, found):
    client.put_multi([datastore.Entity(key) for key in found])


def fetched(source, plan):
    """Return the keys of a query, page by page."""
    found, cursor, more = [], "", True
    while more:
        page = source.page(plan, cursor=cursor, limit=1000)
        found += [entity.key for entity in page.entries]
        cursor, more = (page.cursors or [""])[-1], page.more
    return found


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(before=rows, after=rows, pieces=st.integers(2, 8), ancestor=st.booleans())
def test_every_entity_is_in_one_piece(datastore_address, before, after, pieces, ancestor):
    client = connect(datastore_address, database=f"pieces-{next(numbers)}")
    first, later = keys(client, before), keys(client, after)
    put(client, first)
    source = DatastoreQueries(lambda: client)
    above = client.key(*before[0][0]) if ancestor and before and before[0][0] else None

    split = source.split(source.describe(client.query(kind="Row", ancestor=above)), pieces)
    put(client, later)

    found = [key for piece in split.parts for key in fetched(source, piece)]
    whole = [entity.key for entity in client.query(kind="Row", ancestor=above).fetch()]
    assert found == whole
    assert bool(split.reason) == (len(split.parts) == 1)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(found=rows, sample=rows, pieces=st.integers(2, 8))
def test_a_sample_cuts_in_the_order_of_the_service(datastore_address, found, sample, pieces):
    client = connect(datastore_address, database=f"pieces-{next(numbers)}")
    put(client, keys(client, found))
    source = DatastoreQueries(lambda: client)
    plan = source.describe(client.query(kind="Row"))
    cuts = sampled_cuts(keys(client, sample), pieces) if len(sample) >= pieces else []

    ends = itertools.pairwise([None, *cuts, None])
    parts = [fetched(source, between(plan, low, high)) for low, high in ends]

    assert [key for part in parts for key in part] == fetched(source, plan)


def skewed(rng):
    """Return names of which nearly all begin alike, and a few that are far away."""
    return {f"customer-{int(rng.expovariate(1e-4)):08}-{n}": None for n in range(COUNT - 10)} | {
        f"{letter}": None for letter in "abcdwxyzäß"
    }


KINDS = {
    "skewed names": lambda rng: list(skewed(rng)),
    "dense ids": lambda _: range(1, COUNT + 1),
    "sparse ids": lambda rng: rng.sample(range(1, 2**63), COUNT),
    "ids and names": lambda rng: [*range(1, COUNT // 2 + 1), *list(skewed(rng))[: COUNT // 2]],
}


@pytest.fixture(scope="module")
def client(datastore_address):
    made = connect(datastore_address, database="even")
    for kind, identifiers in KINDS.items():
        every = [made.key(kind, each) for each in identifiers(random.Random(kind))]
        for at in range(0, len(every), 500):
            put(made, every[at : at + 500])
    return made


def sizes(source, client, kind, pieces):
    split = source.split(source.describe(client.query(kind=kind)), pieces)
    found = [source.count(piece) for piece in split.parts]
    assert (len(found), sum(found)) == (pieces, COUNT)
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pieces", [2, 7, 32])
def test_probing_makes_pieces_of_the_same_size(client, kind, pieces):
    source = DatastoreQueries(lambda: client)

    found = sizes(source, client, kind, pieces)

    assert max(found) - min(found) <= 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pieces", [2, 4, 6])
def test_a_sample_makes_pieces_of_about_the_same_size(client, kind, pieces, monkeypatch):
    source = DatastoreQueries(lambda: client, most_skipped=COUNT - 1)
    monkeypatch.delattr(QuerySplitter, "_skipped")

    found = sizes(source, client, kind, pieces)

    assert max(found) < 2.5 * COUNT / pieces


def test_a_sample_that_is_too_small_is_not_relied_upon(client):
    source = DatastoreQueries(lambda: client, most_skipped=COUNT - 1)

    found = sizes(source, client, "dense ids", 32)

    assert max(found) - min(found) <= 1


def test_a_filter_is_cut_within_its_own_range(datastore_address):
    """A filter that finds a few keys side by side gets parts of about the same size."""
    client = connect(datastore_address, database="filtered")
    for at in range(0, COUNT, 500):
        entities = []
        for n in range(at, at + 500):
            entity = datastore.Entity(client.key("Visit", f"{n:06}"))
            entity["city"] = "Ulm" if 6000 <= n < 7300 else "Bonn"
            entities.append(entity)
        client.put_multi(entities)
    source = DatastoreQueries(lambda: client, most_skipped=1000)
    query = client.query(kind="Visit", filters=[PropertyFilter("city", "=", "Ulm")])

    described = source.describe(query)
    found = [source.count(part) for part in source.split(described, 32).parts]

    assert (len(found), sum(found)) == (32, 1300)
    assert min(found) > 0
    assert max(found) < 4 * 1300 / 32


def test_a_filter_with_too_few_keys_in_the_sample_is_skipped_over_if_that_is_cheap(
    datastore_address, monkeypatch
):
    client = connect(datastore_address, database="filtered")
    source = DatastoreQueries(lambda: client, most_skipped=100)
    query = client.query(kind="Visit", filters=[PropertyFilter("city", "=", "Ulm")])
    monkeypatch.delattr(QuerySplitter, "_skipped")

    # 1,300 results cost more than ten times what is cheap, so that the sample is all there is.
    found = [source.count(part) for part in source.split(source.describe(query), 32).parts]

    assert sum(found) == 1300
    assert 0 not in found


@pytest.mark.parametrize("kind", KINDS)
def test_the_sample_is_the_share_that_is_known_of_the_service(client, kind):
    query = client.query(kind=kind, order=["__scatter__"])
    found = list(query.fetch())

    assert 0.006 * COUNT < len(found) < 0.01 * COUNT
    assert not any(dict(entity) for entity in found)


def test_the_sample_follows_what_is_put_and_deleted(client):
    query = client.query(kind="dense ids", order=["__scatter__"])
    (first,) = query.fetch(limit=1)

    client.delete(first.key)
    assert first.key not in [entity.key for entity in query.fetch()]

    client.put(first)
    assert [entity.key for entity in query.fetch(limit=1)] == [first.key]
