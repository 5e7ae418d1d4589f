"""Clients of Datastore besides Google's for Python: JSON over HTTP, asyncio, ndb; on one port."""

import asyncio
import os
from unittest import mock

import aiohttp
import pytest
import requests
from gcloud.aio.datastore import (
    Datastore,
    Filter,
    Key,
    Operation,
    PathElement,
    PropertyFilter,
    PropertyFilterOperator,
    Query,
    Value,
)
from google.api_core.exceptions import InvalidArgument
from google.cloud import datastore, ndb

from adjourn_local.runtime.addresses import PROJECT
from adjourn_local.runtime.stack import Stack, running
from tests.contract.datastore_calls import begin, commit, lookup
from tests.contract.datastore_world import connect


@pytest.fixture(scope="module")
def stack():
    stack = Stack(None)
    with running(stack):
        yield stack


@pytest.fixture(autouse=True)
def address(stack):
    """Lead clients to the port of the stack that serves HTTP, and gRPC as well."""
    address = f"127.0.0.1:{stack.ports.http}"
    with mock.patch.dict(os.environ, {"DATASTORE_EMULATOR_HOST": address}):
        yield address
    requests.post(f"http://{address}/reset", timeout=10).raise_for_status()


def test_it_greets_and_starts_anew(address):
    client = connect(address, PROJECT)
    client.put(datastore.Entity(client.key("Row", 1)))
    transaction = begin(client)
    lookup(client, transaction=transaction)
    assert requests.get(f"http://{address}/", timeout=10).text == "Ok\n"
    assert requests.post(f"http://{address}/reset", timeout=10).status_code == 200

    with pytest.raises(InvalidArgument, match="no longer valid"):
        commit(client, transaction)
    assert list(client.query(kind="Row").fetch()) == []
    assert list(client.query(kind="__kind__").fetch()) == []
    entity = datastore.Entity(client.key("Row", 2))
    entity["n"] = 1
    client.put(entity)
    assert [each.id for each in client.query(kind="Row", order=["n"]).fetch()] == [2]


def test_grpc_comes_through_the_port_of_http_with_much_in_both_directions(address):
    client = connect(address, PROJECT)
    entities = [datastore.Entity(client.key("Big", n), ["data"]) for n in range(1, 8)]
    for entity in entities:
        entity["data"] = os.urandom(1_000_000)
    client.put_multi(entities)

    found = list(client.query(kind="Big").fetch())

    assert [each["data"] for each in found] == [each["data"] for each in entities]
    http = connect(address, PROJECT, http=True)
    assert http.get(http.key("Big", 3))["data"] == entities[2]["data"]


def test_a_connection_that_says_nothing_that_is_known_is_answered(address):
    host, port = address.split(":")

    async def talk(*words):
        reader, writer = await asyncio.open_connection(host, int(port))
        for word in words:
            writer.write(word)
            await writer.drain()
        answer = await asyncio.wait_for(reader.readline(), 10)
        writer.close()
        return answer

    assert b"400" in asyncio.run(talk(b"hello\r\n\r\n"))
    head = b"POST /reset HTTP/1.1\r\nHost: localhost\r\n"
    assert b"200" in asyncio.run(talk(head[:1], head[1:2], head[2:], b"\r\n"))


def test_the_client_of_gcloud_aio(address):
    async def work():
        async with aiohttp.ClientSession() as session:
            client = Datastore(project=PROJECT, session=session)
            key = Key(PROJECT, [PathElement("Order", name="a")])
            await client.insert(key, {"n": 7, "note": "ä"}, session=session)
            begun = await client.beginTransaction()
            read = await client.lookup([key], transaction=begun)
            change = client.make_mutation(Operation.UPDATE, key, {"n": 8, "note": "ö"})
            await client.commit([change], transaction=begun)
            only = Filter(PropertyFilter("n", PropertyFilterOperator.EQUAL, Value(8)))
            found = await client.runQuery(Query(kind="Order", query_filter=only))
            allocated = await client.allocateIds([Key(PROJECT, [PathElement("Order")])])
            return read["found"][0].entity.properties, found.result_batch.entity_results, allocated

    before, (after,), (allocated,) = asyncio.run(work())

    assert before == {"n": 7, "note": "ä"}
    assert after.entity.properties == {"n": 8, "note": "ö"}
    assert allocated.path[0].id
    client = connect(address, PROJECT)
    assert client.get(client.key("Order", "a"))["n"] == 8


class Order(ndb.Model):
    customer = ndb.StringProperty()
    amount = ndb.IntegerProperty()
    tags = ndb.StringProperty(repeated=True)


def test_ndb():
    with ndb.Client(project=PROJECT).context(cache_policy=False):
        keys = ndb.put_multi(
            [Order(id=f"o{n}", customer="ann", amount=n, tags=["x", str(n)]) for n in range(5)]
        )
        dear = Order.query(Order.customer == "ann", Order.amount > 2).order(-Order.amount)
        assert [order.key.id() for order in dear] == ["o4", "o3"]
        assert Order.query(Order.tags.IN(["0", "3"])).count() == 2

        @ndb.transactional()
        def raise_amount():
            order = keys[0].get()
            order.amount += 10
            order.put()

        raise_amount()
        assert keys[0].get().amount == 10
        first, cursor, more = Order.query().order(Order.amount).fetch_page(2)
        rest, _, _ = Order.query().order(Order.amount).fetch_page(9, start_cursor=cursor)
        assert more
        assert [order.amount for order in (*first, *rest)] == [1, 2, 3, 4, 10]
