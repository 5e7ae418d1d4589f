"""Calls inside the transactions of Google's own client, against a server that serves them."""

import datetime as dt
import itertools
import random
from dataclasses import replace

import pytest
from google.api_core.exceptions import Aborted
from google.cloud import datastore

from adjourn import App, DeclarationError
from adjourn.execution.delivery import Outcome
from adjourn.gcp.datastore_store import DatastoreStore
from adjourn.gcp.datastore_transactions import DatastoreTransactions
from adjourn.ports import Adapters
from adjourn.state.large_payloads import KIND as PAYLOAD
from adjourn.state.transaction_markers import KIND
from adjourn.testing import (
    SETTINGS,
    FakeClock,
    MemoryJobs,
    MemoryQueries,
    MemoryQueue,
    MemoryVerifier,
    Sandbox,
)

SECOND = dt.timedelta(seconds=1)

numbers = itertools.count(1)  # every test has a database of its own


@pytest.fixture
def client(monkeypatch, datastore_address):
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", datastore_address)
    return datastore.Client(project="sandbox", database=f"guard-{next(numbers)}")


@pytest.fixture
def settings(client):
    return replace(SETTINGS, database=client.database)


@pytest.fixture
def ran():
    return []


@pytest.fixture
def app():
    return App()


@pytest.fixture
def box(app, client, settings):
    """Return a sandbox whose store and transactions are the real ones."""
    clock = FakeClock()
    queue, verifier, queries = MemoryQueue(clock), MemoryVerifier(clock), MemoryQueries()
    store = DatastoreStore(lambda: client)
    adapters = Adapters(
        queue=queue,
        store=store,
        queries=queries,
        jobs=MemoryJobs(),
        verifier=verifier,
        transactions=DatastoreTransactions(settings, lambda: client),
        clock=clock,
        new_id=lambda: f"call-{len(queue.tasks)}",
        chance=lambda: 0.5,
    )
    with app.rewired(settings, adapters) as wiring:
        yield Sandbox(
            app=app,
            wiring=wiring,
            clock=clock,
            queue=queue,
            store=store,
            queries=queries,
            verifier=verifier,
            transactions=adapters.transactions,
        )


@pytest.fixture
def work(app, ran):
    @app.deferred(name="work")
    def work(number=0):
        ran.append(number)

    return work


def settle(box):
    """Deliver until nothing waits any more."""
    while box.queue.tasks:
        box.clock.advance(30 * SECOND)
        assert set(box.drain()) <= {Outcome.DONE}


def counted(client, change):
    """Return an entity that a transaction has read and changed."""
    key = client.key("Counter", "c")
    entity = client.get(key) or datastore.Entity(key)
    entity["n"] = entity.get("n", 0) + change
    return entity


def test_a_committed_transaction_lets_its_call_run(box, client, work, ran):
    with client.transaction() as transaction:
        transaction.put(counted(client, 1))
        work(1)

    settle(box)

    assert ran == [1]
    assert [entity.kind for entity in client.query(kind=KIND).fetch()] == [KIND]


def test_what_no_task_can_carry_is_written_at_once_and_outside_of_the_transaction(
    box, client, work, ran
):
    load = random.Random(1).randbytes(12_000_000)  # more than a transaction may have
    with client.transaction() as transaction:
        work(load)
        assert len(transaction.mutations) == 1

    settle(box)

    assert ran == [load]
    assert list(client.query(kind=PAYLOAD).fetch()) == []


def test_a_transaction_that_is_rolled_back_leaves_no_payload(box, client, work, ran):
    def fail():
        with client.transaction():
            work(random.Random(1).randbytes(2_000_000))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    query = client.query(kind=PAYLOAD)
    query.keys_only()
    assert len(list(query.fetch())) == 3
    settle(box)
    assert ran == []
    assert list(query.fetch()) == []


def test_a_transaction_that_is_rolled_back_takes_its_call_along(box, client, work, ran):
    def fail():
        with client.transaction():
            work(1)
            raise ConnectionError

    with pytest.raises(ConnectionError):
        fail()
    settle(box)

    assert ran == []
    assert list(client.query(kind=KIND).fetch()) == []


def test_after_a_conflict_only_the_call_of_the_try_that_won_runs(box, client, work, ran):
    other = datastore.Client(project="sandbox", database=client.database)
    tries = 0

    def run():
        nonlocal tries
        tries += 1
        # The older one, which the real service lets go first.
        with other.transaction() as older, client.transaction() as transaction:
            transaction.put(counted(client, 1))
            work(tries)
            if tries < 3:
                older.put(counted(other, 10))
                older.commit()

    while tries < 3:
        try:
            run()
        except Aborted:
            continue
    settle(box)

    assert ran == [3]
    assert client.get(client.key("Counter", "c"))["n"] == 21


def test_a_slow_commit_is_waited_for(box, client, work, ran):
    with client.transaction() as transaction:
        transaction.put(counted(client, 1))
        work(1)
        for _ in range(9):
            box.clock.advance(30 * SECOND)
            box.drain()
        assert ran == []

    settle(box)

    assert ran == [1]


def test_outside_of_a_transaction_nothing_is_marked(box, client, work, ran):
    work(1)
    assert box.drain() == [Outcome.DONE]

    assert ran == [1]
    assert list(client.query(kind=KIND).fetch()) == []


def test_a_read_only_transaction_guards_nothing(box, client, work, ran):
    with client.transaction(read_only=True):
        work(1)

    assert box.drain() == [Outcome.DONE]
    assert ran == [1]


def test_a_transaction_of_another_database_is_refused(box, work):
    other = datastore.Client(project="sandbox", database="other")
    transaction = other.transaction()

    with transaction, pytest.raises(DeclarationError, match="database 'other'; the settings name"):
        work.options(transaction=transaction).defer()

    assert box.queue.tasks == {}


@pytest.mark.usefixtures("box")
def test_a_transaction_that_is_over_guards_nothing_more(client, work):
    with client.transaction() as transaction:
        transaction.put(counted(client, 1))

    with pytest.raises(DeclarationError, match="No call can depend on this transaction"):
        work.options(transaction=transaction).defer()


@pytest.mark.usefixtures("box")
def test_something_else_is_no_transaction(work):
    with pytest.raises(DeclarationError, match="is not a Datastore transaction"):
        work.options(transaction=object()).defer()
