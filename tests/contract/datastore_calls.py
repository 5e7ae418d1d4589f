"""What tests of transactions ask: queries, and calls below the client's transactions."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from google.cloud.datastore.query import PropertyFilter
from google.cloud.datastore_v1 import types


def rows(client, *filters, order=(), kind="Row"):
    query = client.query(kind=kind, order=list(order))
    for one in filters:
        query.add_filter(filter=PropertyFilter(*one))
    return query


def count(client, query):
    return next(iter(next(iter(client.aggregation_query(query).count().fetch())))).value


def begin(client, **options):
    return client._datastore_api.begin_transaction(
        request=types.BeginTransactionRequest(
            project_id=client.project, transaction_options=options
        )
    ).transaction


def commit(client, transaction, *mutations):
    return client._datastore_api.commit(
        request=types.CommitRequest(
            project_id=client.project,
            mode="TRANSACTIONAL",
            transaction=transaction,
            mutations=list(mutations),
        )
    )


def lookup(client, **read_options):
    return client._datastore_api.lookup(
        request=types.LookupRequest(
            project_id=client.project,
            keys=[client.key("Row", "a").to_protobuf()],
            read_options=read_options,
        )
    )


def upsert(client):
    return types.Mutation(upsert={"key": client.key("Row", "a").to_protobuf()})


@contextmanager
def waiting(world, call):
    """Make a call that must wait for a lock; it is done when the block ends, or fails there."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(call)
        until(lambda: future.done() or is_waited(world))
        assert not future.done()
        yield future
        future.result(timeout=20)


def is_waited(world):
    """Return whether anybody waits on the server's clock, as a commit does for a lock."""
    return world.loop.call(lambda: bool(world.clock._sleepers))


def until(condition):
    """Ask until something is so; every time costs a turn of the server's loop."""
    patience = threading.Event()
    timer = threading.Timer(20, patience.set)
    timer.start()
    while not condition():
        assert not patience.is_set(), "it did not come to that in 20 seconds"
    timer.cancel()
