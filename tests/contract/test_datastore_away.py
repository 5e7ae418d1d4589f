"""Datastore that is out of reach, or that does not answer: its callers are free again soon."""

import socket
import threading
import time
from concurrent import futures
from contextlib import contextmanager, suppress

import grpc
import pytest
from google.api_core.exceptions import ServiceUnavailable
from google.cloud.datastore import Client

from adjourn.concurrency import PerProcess
from adjourn.errors import StoreError
from adjourn.gcp.datastore_api import datastore_client
from adjourn.gcp.datastore_queries import DatastoreQueries
from adjourn.gcp.datastore_store import DatastoreStore
from adjourn.gcp.limited_datastore import LimitedDatastore
from adjourn.ports import RecordKey
from tests.unit.adjourn.test_settings import read

LIMIT = 1
# Beside the limit: the rollback, and what else a busy machine has to do. Google's limit is 60.
SLACK = 15
KEY = RecordKey("AdjournOnce", "a")

CALLS = {
    "get": lambda store: store.get([KEY]),
    "put": lambda store: store.put(KEY, {"a": 1}),
    "replace": lambda store: store.replace(KEY, {"a": 1}, version=1),
    "put many": lambda store: store.put_many({KEY: {"a": 1}}),
    "delete many": lambda store: store.delete_many([KEY]),
    "query": lambda store: list(store.query("AdjournOnce", by="a")),
    "transact": lambda store: store.transact(lambda it: it.get([KEY])),
    "write in a transaction": lambda store: store.transact(lambda it: it.put(KEY, {"a": 1})),
}


@contextmanager
def refusing():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    yield port


@contextmanager
def silent():
    """Accept connections and say nothing."""
    accepted = []
    listener = socket.create_server(("127.0.0.1", 0))

    def accept():
        with suppress(OSError):
            while True:
                accepted.append(listener.accept()[0])

    thread = threading.Thread(target=accept)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()
    for each in accepted:
        each.close()


@contextmanager
def hanging():
    """Take every call and never answer it."""
    is_over = threading.Event()

    class Handler(grpc.GenericRpcHandler):
        def service(self, _details):
            return grpc.unary_unary_rpc_method_handler(lambda *_: is_over.wait(60))

    server = grpc.server(futures.ThreadPoolExecutor(32))
    server.add_generic_rpc_handlers([Handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    is_over.set()
    server.stop(None).wait()


@pytest.mark.parametrize("server", [refusing, silent, hanging], ids=lambda it: it.__name__)
def test_every_call_ends_within_its_limit(server, monkeypatch):
    with server() as port, futures.ThreadPoolExecutor(len(CALLS) + 2) as pool:
        monkeypatch.setenv("DATASTORE_EMULATOR_HOST", f"127.0.0.1:{port}")
        settings = read(ADJOURN_DATASTORE_TIMEOUT=str(LIMIT))
        client = PerProcess(lambda: datastore_client(settings))
        store, queries = DatastoreStore(client), DatastoreQueries(client)
        described = queries.describe(client().query(kind="Order"))
        calls = {name: pool.submit(seconds, call, store) for name, call in CALLS.items()}
        calls["page"] = pool.submit(
            seconds, lambda it: it.page(described, cursor="", limit=5), queries
        )

        taken = {name: call.result() for name, call in calls.items()}

    assert {name: it for name, it in taken.items() if it > LIMIT + SLACK} == {}


def seconds(call, port):
    began = time.monotonic()
    with pytest.raises(StoreError):
        call(port)
    return time.monotonic() - began


def test_a_limit_of_the_applications_own_client_is_its_own_business(monkeypatch):
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", "127.0.0.1:1")

    assert not isinstance(Client(project="shop")._datastore_api, LimitedDatastore)


# How calls are repeated


class Api:
    """Fails a call as often as it is told to; each takes a while."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.now = 0.0
        self.slept = []
        self.timeouts = []

    def lookup(self, *, request, retry, timeout):
        assert (request, retry) == ("r", None)
        self.timeouts.append(round(timeout, 6))
        self.now += 0.25
        if self.errors:
            raise self.errors.pop(0)
        return "found"

    run_aggregation_query = commit = rollback = lookup

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


def limited(api, seconds=2):
    return LimitedDatastore(api, seconds, time=lambda: api.now, sleep=api.sleep, jitter=lambda: 1.0)


AWAY = ServiceUnavailable("away")


def test_a_read_is_repeated_while_there_is_time_for_it():
    api = Api(AWAY, AWAY)

    assert limited(api).lookup(request="r") == "found"
    assert api.slept == [0.1, 0.2]
    assert api.timeouts == [2, 1.65, 1.2]


def test_a_read_is_given_up_when_its_time_is_over():
    api = Api(*[AWAY] * 100)

    with pytest.raises(ServiceUnavailable):
        limited(api).lookup(request="r")

    assert api.slept == [0.1, 0.2, 0.4]
    assert api.now <= 2


def test_a_read_that_is_refused_is_not_repeated():
    api = Api(ValueError("no"))

    with pytest.raises(ValueError, match="no"):
        limited(api).lookup(request="r")

    assert api.slept == []


def test_a_write_is_not_repeated():
    api = Api(AWAY)

    with pytest.raises(ServiceUnavailable):
        limited(api).commit(request="r")

    assert (api.slept, api.timeouts) == ([], [2])


def test_nobody_waits_long_for_a_rollback_and_a_count_may_take_its_time():
    api = Api()

    limited(api, 10).rollback(request="r")
    limited(api, 10).run_aggregation_query(request="r")

    assert api.timeouts == [1, 60]
