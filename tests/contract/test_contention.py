"""Datastore answers ABORTED also to a plain write of what transactions of others have read."""

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import grpc
import pytest
from google.cloud import datastore
from google.cloud.datastore_v1.types import RollbackRequest

from adjourn import App
from adjourn.concurrency import PerProcess
from adjourn.errors import ConflictError, StoreError
from adjourn.execution.delivery import Outcome
from adjourn.gcp.datastore_api import datastore_client
from adjourn.gcp.datastore_queries import DatastoreQueries
from adjourn.gcp.datastore_store import DatastoreStore
from adjourn.ports import RecordKey
from adjourn.testing import SETTINGS, sandbox
from tests.contract.datastore_world import behind

TEXT = "Too much contention on these datastore entities. Please try again."
KEY = RecordKey("Run", "a")
ROLLBACK = SimpleNamespace(method="/google.datastore.v1.Datastore/Rollback", invocation_metadata=())
ALWAYS = 1000


class Contended(grpc.GenericRpcHandler):
    """Serves Datastore, but ends the transactions of so many calls before it serves them.

    They are answered ABORTED, or if `expires`, by the server itself, which knows them no more.
    """

    def __init__(self, inner):
        self._inner = inner
        self.left = 0
        self.method = "/Commit"
        self.expires = False
        self.refuses_rollbacks = False

    def service(self, details):
        handler = self._inner.service(details)
        if self.left and details.method.endswith(self.method):
            self.left -= 1
            return self._answering(handler, grpc.StatusCode.ABORTED, TEXT)
        if self.refuses_rollbacks and details.method.endswith("/Rollback"):
            return self._answering(handler, grpc.StatusCode.INVALID_ARGUMENT, "It has ended.")
        return handler

    def _answering(self, handler, status, text):
        async def answer(request, context):
            reads = getattr(request, "read_options", None)
            number = reads.transaction if reads else getattr(request, "transaction", b"")
            if number and status is grpc.StatusCode.ABORTED:
                ended = RollbackRequest.pb()(project_id=request.project_id, transaction=number)
                await self._inner.service(ROLLBACK).unary_unary(ended, context)
            self.left += self.expires and not number
            if self.expires:
                return await handler.unary_unary(request, context)
            return await context.abort(status, text)

        return grpc.unary_unary_rpc_method_handler(
            answer, handler.request_deserializer, handler.response_serializer
        )


@pytest.fixture
def contended(loop, tmp_path, monkeypatch):
    with behind(loop, tmp_path, monkeypatch, Contended) as contended:
        yield contended


@pytest.fixture
def pauses():
    return []


@pytest.fixture
def client(contended):  # noqa: ARG001 - its address is in the environment
    return PerProcess(lambda: datastore_client(SETTINGS))


@pytest.fixture
def store(client, pauses):
    store = DatastoreStore(client, sleep=pauses.append, jitter=lambda: 0.5)
    store.put(KEY, {"n": 1})
    return store


WRITES = {
    "put": lambda store: store.put(KEY, {"n": 2}),
    "put_many": lambda store: store.put_many({KEY: {"n": 2}}),
    "replace": lambda store: store.replace(KEY, {"n": 2}, version=store.read([KEY])[0].version),
    "transact": lambda store: store.transact(lambda t: t.get([KEY]) and t.put(KEY, {"n": 2})),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_write_that_met_others_is_done_again(contended, store, pauses, name):
    contended.left = 5

    WRITES[name](store)

    assert store.get([KEY]) == [{"n": 2}]
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8]


@pytest.mark.parametrize("refuses_rollbacks", [False, True])
@pytest.mark.parametrize("method", ["/Commit", "/Lookup"])
def test_a_transaction_that_expired_is_begun_anew(contended, store, method, refuses_rollbacks):
    contended.method, contended.refuses_rollbacks = method, refuses_rollbacks
    reads = []

    def work(transaction):
        reads.append(transaction.get([KEY]))
        contended.expires, contended.left = True, 1 if len(reads) == 1 else 0
        transaction.get([KEY])
        transaction.put(KEY, {"n": 2})

    store.transact(work)

    assert len(reads) == 2
    assert store.get([KEY]) == [{"n": 2}]


def test_a_transaction_that_expires_again_and_again_has_failed(contended, store, pauses):
    contended.expires, contended.left = True, ALWAYS

    with pytest.raises(ConflictError, match="gave up after 6 attempts"):
        WRITES["transact"](store)

    assert len(pauses) == 5
    assert store.get([KEY]) == [{"n": 1}]


def test_a_deletion_that_met_others_is_done_again(contended, store):
    contended.left = 1

    store.delete_many([KEY])

    assert store.get([KEY]) == [None]


@pytest.mark.parametrize("name", [name for name in WRITES if name != "transact"])
def test_a_write_that_meets_others_again_and_again_has_failed(contended, store, name):
    contended.left = ALWAYS

    with pytest.raises(StoreError, match="gave up after 6 attempts"):
        WRITES[name](store)

    assert store.get([KEY]) == [{"n": 1}]


def test_a_record_that_was_changed_meanwhile_is_a_conflict_at_once(contended, store, pauses):
    version = store.read([KEY])[0].version
    store.put(KEY, {"n": 3})
    contended.left = 1

    with pytest.raises(ConflictError, match="changed meanwhile"):
        store.replace(KEY, {"n": 2}, version=version)

    assert (pauses, store.get([KEY])) == ([], [{"n": 3}])


def test_a_transaction_that_was_aborted_when_it_read_is_begun_anew(contended, store):
    contended.method, contended.refuses_rollbacks = "/Lookup", True
    reads = []

    def work(transaction):
        reads.append(transaction.get([KEY]))
        contended.left = 1 if len(reads) == 1 else 0
        transaction.get([KEY])
        transaction.put(KEY, {"n": 2})

    store.transact(work)

    assert len(reads) == 2
    assert store.get([KEY]) == [{"n": 2}]


def test_entities_that_others_have_locked_are_deleted_after_all(contended, client, pauses):
    queries = DatastoreQueries(client, sleep=pauses.append, jitter=lambda: 0.5)
    entity = datastore.Entity(client().key("Order", 1))
    client().put(entity)
    contended.left = 2

    queries.delete([entity])

    assert client().get(entity.key) is None
    assert pauses == [0.05, 0.1]


def test_an_entity_is_changed_after_all_when_a_transaction_expired(contended, client, pauses):
    queries = DatastoreQueries(client, sleep=pauses.append, jitter=lambda: 0.5)
    entity = datastore.Entity(client().key("Order", 1))
    client().put(entity)
    contended.expires, contended.left = True, 1

    failed = queries.change([entity], lambda entity: entity.update(n=2))

    assert failed == [None]
    assert client().get(entity.key)["n"] == 2


@pytest.mark.parametrize("fails", [False, True])
def test_the_end_of_a_once_call_is_written_again_when_its_transaction_expired(
    contended, store, fails
):
    app, ran = App(), []

    @app.deferred(name="pay", once=True, max_retries=0)
    def pay():
        ran.append(1)
        contended.expires, contended.left = True, 1
        if fails:
            raise RuntimeError("broken")

    with sandbox(app) as box:
        pay()
        (queued,) = box.queue.due()
        delivery = box.delivery(SETTINGS.deferred_url, queued.task.body)
        adapters = replace(app.wiring().adapters, store=store)
        with app.rewired(SETTINGS, adapters) as wiring:
            first = wiring.receive_task(delivery)
            box.clock.advance(timedelta(hours=1))
            second = wiring.receive_task(delivery)

    assert (first, second) == (Outcome.DEAD if fails else Outcome.DONE, Outcome.DONE)
    assert ran == [1]
    assert contended.left == 0


def test_a_call_that_could_not_be_recorded_is_not_acknowledged(contended, store):
    app = App()

    @app.deferred(name="fail", max_retries=0)
    def fail():
        raise RuntimeError("broken")

    with sandbox(app) as box:
        fail()
        (queued,) = box.queue.due()
        delivery = box.delivery(SETTINGS.deferred_url, queued.task.body)
        adapters = replace(app.wiring().adapters, store=store)
        with app.rewired(SETTINGS, adapters) as wiring:
            contended.left = ALWAYS
            assert wiring.receive_task(delivery) is Outcome.TROUBLE
            contended.left = 0
            assert wiring.receive_task(delivery) is Outcome.DEAD
