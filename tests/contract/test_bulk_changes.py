"""A bulk change reads the next group of entities while one is committed."""

import threading

import grpc
import pytest
from google.api_core.exceptions import ServiceUnavailable
from google.cloud import datastore

from adjourn.concurrency import PerProcess
from adjourn.errors import StoreError
from adjourn.gcp.datastore_api import datastore_client
from adjourn.gcp.datastore_queries import DatastoreQueries
from adjourn.testing import SETTINGS
from tests.contract.datastore_world import behind

PATIENCE = 20


class Watched(grpc.GenericRpcHandler):
    """Serves Datastore and keeps the names of its calls."""

    def __init__(self, inner):
        self._inner = inner
        self.calls = []
        self.has_two_lookups = threading.Event()

    def service(self, details):
        name = details.method.rpartition("/")[2]
        self.calls.append(name)
        if self.calls.count("Lookup") == 2:
            self.has_two_lookups.set()
        return self._inner.service(details)


@pytest.fixture
def watched(loop, tmp_path, monkeypatch):
    with behind(loop, tmp_path, monkeypatch, Watched) as watched:
        yield watched


@pytest.fixture
def client(watched):  # noqa: ARG001 - it has set the address
    return datastore_client(SETTINGS)


def made(client, watched, keys):
    entities = [datastore.Entity(key) for key in keys]
    for entity in entities:
        entity["n"] = 1
    client.put_multi(entities)
    watched.calls.clear()
    return entities


class Commits:
    """The client's API, whose commits call something first."""

    def __init__(self, api, before):
        self._api = api
        self._before = before

    def __getattr__(self, name):
        return getattr(self._api, name)

    def commit(self, **arguments):
        self._before()
        return self._api.commit(**arguments)


def queries(client, before=lambda: None):
    client._datastore_api_internal = Commits(client._datastore_api, before)
    return DatastoreQueries(PerProcess(lambda: client))


def change(entity):
    entity["n"] += 1


def test_the_next_group_is_read_while_one_is_committed(client, watched):
    entities = made(client, watched, [client.key("Item", n + 1) for n in range(100)])
    found = []

    def before():
        found.append(watched.has_two_lookups.wait(PATIENCE))

    failed = queries(client, before).change(entities, change)

    assert found == [True, True]
    assert failed == [None] * 100
    assert {each["n"] for each in client.get_multi([each.key for each in entities])} == {2}


def test_entities_of_one_ancestor_are_not_read_ahead(client, watched):
    keys = [client.key("Parent", 1, "Item", n + 1) for n in range(100)]
    entities = made(client, watched, keys)

    queries(client).change(entities, change)

    assert watched.calls == ["BeginTransaction", "Lookup", "Commit"] * 2


def test_a_group_that_was_read_ahead_in_vain_is_rolled_back(client, watched):
    entities = made(client, watched, [client.key("Item", n + 1) for n in range(100)])

    def before():
        assert watched.has_two_lookups.wait(PATIENCE)
        raise ServiceUnavailable("away")

    with pytest.raises(StoreError, match="away"):
        queries(client, before).change(entities, change)

    assert watched.calls.count("Rollback") == 1
    assert {each["n"] for each in client.get_multi([each.key for each in entities])} == {1}
