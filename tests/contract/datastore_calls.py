"""What tests of transactions ask: queries, and calls below the client's transactions."""

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
