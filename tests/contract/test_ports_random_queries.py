"""Random entities and queries: the twin finds what the adapter finds in the embedded Datastore."""

import os
import random
from dataclasses import replace

import pytest
from google.cloud import datastore
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adjourn.errors import AdjournError
from adjourn.gcp.datastore_api import datastore_client
from adjourn.gcp.datastore_queries import DatastoreQueries
from adjourn.testing import SETTINGS, MemoryQueries
from tests.contract.datastore_queries import fill, random_spec
from tests.contract.test_ports_queries import carried, walk

_LONG = int(os.environ.get("ADJOURN_DIFFERENTIAL", "0"))


class Both:
    """Google's client for the embedded Datastore; what it is given the twin is given, too."""

    def __init__(self, client, twin):
        self._client = client
        self._twin = twin
        self.key = client.key

    def put_multi(self, entities):
        self._client.put_multi(entities)
        for entity in entities:
            self._twin.add(entity.kind, entity)

    def delete_multi(self, keys):
        self._client.delete_multi(keys)
        self._twin.delete([datastore.Entity(key) for key in keys])


@pytest.fixture(scope="module")
def stocked(datastore_address):
    """Return what makes an adapter and a twin with the same random entities, once for a seed."""
    made = {}

    def stock(seed):
        if seed not in made:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("DATASTORE_EMULATOR_HOST", datastore_address)
                client = datastore_client(replace(SETTINGS, database=f"random-{seed}"))
            twin = MemoryQueries()
            fill(Both(client, twin), random.Random(seed), count=25)
            made[seed] = client, DatastoreQueries(lambda: client), twin
        return made[seed]

    return stock


def told(work):
    """Return what a call returns, or that it is refused."""
    try:
        return work()
    except AdjournError as error:
        return type(error)


def shown(entities):
    return [
        (entity.key, entity.exclude_from_indexes, sorted((k, repr(v)) for k, v in entity.items()))
        for entity in entities
    ]


@settings(
    max_examples=_LONG or 300,
    derandomize=not _LONG,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(seed=st.integers(1, 4), rng=st.randoms(use_true_random=False), at=st.integers(0, 99))
def test_random_queries_have_the_same_results(stocked, seed, rng, at):
    client, adapter, twin = stocked(seed)
    spec = random_spec(rng)
    query, limit = spec.build(client), spec.limit or 1000

    def found(subject, **limits):
        described = carried(subject, query, **limits)
        whole = walk(subject, described, limit)
        return shown(whole), subject.count(described), subject.count({**described, "limit": 3})

    expected = told(lambda: found(adapter))
    assert told(lambda: found(twin)) == expected

    if isinstance(expected, tuple) and expected[0]:
        ends = sorted([at % len(expected[0]), at * 7 % len(expected[0])])
        between = []
        for subject in (adapter, twin):
            page = subject.page(carried(subject, query), cursor="", limit=1000)
            start, end = (page.cursors[each] for each in ends)
            between.append(found(subject, start_cursor=start, end_cursor=end))
        assert between[0] == between[1]
