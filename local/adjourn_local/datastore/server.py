"""The Datastore v1 server, over gRPC and over HTTP with protobuf bodies."""

import random
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import grpc
from aiohttp import web

from adjourn_local.datastore import explain, keys, messages, protobuf_http, responses
from adjourn_local.datastore.aggregation import Aggregator
from adjourn_local.datastore.commits import Commits
from adjourn_local.datastore.composite_indexes import CompositeIndex
from adjourn_local.datastore.entity_tables import EntityTables
from adjourn_local.datastore.history import History
from adjourn_local.datastore.keys import Partition
from adjourn_local.datastore.locks import Concurrency, Locks
from adjourn_local.datastore.messages import invalid, unsupported
from adjourn_local.datastore.mutations import MutationWriter
from adjourn_local.datastore.needed_indexes import NeededIndexes
from adjourn_local.datastore.query_plan import QueryPlan
from adjourn_local.datastore.reads import Reader
from adjourn_local.datastore.transactions import OpenTransaction, Read, Transactions
from adjourn_local.datastore.view import View
from adjourn_local.http import rpc
from adjourn_local.timing.clocks import StackClock
from adjourn_local.timing.timestamps import micros, write

_SERVICE = "google.datastore.v1.Datastore"
# Auto-allocated ids of the service are positive and survive JavaScript's numbers.
_MAX_ID = (1 << 53) - 1

Method = tuple[Any, Callable[[Any], Any]]


class DatastoreServer:
    """A Datastore server over one SQLite file.

    Its handlers run on one event loop. Only a commit awaits, for an older transaction and before it
    writes; so requests do not interleave.
    """

    def __init__(
        self,
        path: Path,
        clock: StackClock,
        *,
        concurrency: Concurrency = Concurrency.PESSIMISTIC,
        random_source: random.Random | None = None,
        is_patient: bool = False,
        declared_indexes: Collection[CompositeIndex] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._random = random_source or random.SystemRandom()
        self._store = EntityTables(path, declared_indexes)
        self._reader = Reader(self._store, monotonic)
        self._aggregator = Aggregator(self._store, self._reader)
        self._history = History(self._store)
        writer = MutationWriter(self._store, self._history, self._allocate)
        self._transactions = Transactions(
            self._store, self._history, self._random, expire=not is_patient
        )
        locks = Locks(concurrency, self._store, self._transactions, clock)
        self._commits = Commits(writer, self._transactions, locks, clock)

    def grpc_service(self) -> grpc.GenericRpcHandler:
        """Return the service for a gRPC server."""
        return rpc.service(_SERVICE, self._methods())

    def http_routes(self) -> list[web.RouteDef]:
        """Return the routes for clients without gRPC, and those of Google's emulator."""
        return [*protobuf_http.routes(self._methods()), *protobuf_http.emulator_routes(self.reset)]

    def reset(self) -> None:
        """Delete everything that is stored; open transactions end without effect."""
        self._transactions.close_all()
        self._store.reset()
        self._history.forget()

    @property
    def needed_indexes(self) -> NeededIndexes:
        """What queries have needed of composite indexes."""
        return self._store.needed

    def close(self) -> None:
        """Close the file; open transactions are lost, as in a restart."""
        self._store.close()

    def _methods(self) -> dict[str, Method]:
        return {
            "Lookup": (messages.LookupRequest, self._lookup),
            "RunQuery": (messages.RunQueryRequest, self._run_query),
            "RunAggregationQuery": (messages.RunAggregationQueryRequest, self._run_aggregation),
            "BeginTransaction": (messages.BeginTransactionRequest, self._begin),
            "Commit": (messages.CommitRequest, self._commit),
            "Rollback": (messages.RollbackRequest, self._rollback),
            "AllocateIds": (messages.AllocateIdsRequest, self._allocate_ids),
            "ReserveIds": (messages.ReserveIdsRequest, self._reserve_ids),
        }

    def _now(self) -> int:
        return micros(self._clock.now())

    def _lookup(self, request: Any) -> Any:
        _check_request(request)
        return self._read(request, lambda view: self._reader.lookup(request, view), request.keys)

    def _run_query(self, request: Any) -> Any:
        _check_request(request)
        _check_query(request, "query")
        partition = _query_partition(request)
        return self._explained(
            request,
            responses.RunQueryResponse(),
            lambda: self._reader.plan(request.query, partition),
            lambda view: self._reader.run_query(request, view, partition),
        )

    def _run_aggregation(self, request: Any) -> Any:
        _check_request(request)
        _check_query(request, "aggregation_query")
        partition = _query_partition(request)
        return self._explained(
            request,
            messages.RunAggregationQueryResponse(),
            lambda: self._aggregator.plan(request.aggregation_query, partition),
            lambda view: self._aggregator.run(request, view, partition),
        )

    def _explained(
        self, request: Any, bare: Any, plan: Callable[[], QueryPlan], read: Callable[[View], Any]
    ) -> Any:
        """Run a query, and explain it if requested: its plan alone, or its plan and its cost."""
        if not request.HasField("explain_options"):
            return self._read(request, read)
        if not request.explain_options.analyze:
            explain.add_plan(bare.explain_metrics, plan())
            return bare
        began = time.perf_counter()
        response = self._read(request, read)
        if response.batch.more_results != messages.QueryResultBatch.NOT_FINISHED:
            explain.add_plan(response.explain_metrics, plan())
            explain.add_run(response, time.perf_counter() - began)
        return response

    def _read(
        self, request: Any, read: Callable[[View], Any], looked_up: Iterable[Any] | None = None
    ) -> Any:
        """Run a read in the transaction that the request names or begins, if any."""
        transaction, read_time = self._consistency(request.read_options)
        if read_time is not None:
            response = self._read_earlier(read, read_time)
        elif transaction is None:
            view = self._store.present()
            response = read(view)
            _stamp(response, view, self._now())
        else:
            view = self._transactions.view(transaction)
            response = read(view)
            if not transaction.read_only:
                keys = None if looked_up is None else self._all_stored(request, looked_up)
                transaction.reads.append(Read(keys, _identity_of(read), _identity(response)))
            _stamp(response, view, self._now())
        if transaction is not None and request.read_options.HasField("new_transaction"):
            response.transaction = transaction.id
        return response

    def _read_earlier(self, read: Callable[[View], Any], read_time: int) -> Any:
        # The first read creates missing indexes, which is not possible during a preview.
        read(self._store.present())
        with self._store.preview(self._history.changes_back_to(read_time)) as view:
            response = read(view)
        _stamp(response, View(view.connection, read_time), read_time)
        return response

    def _consistency(self, options: Any) -> tuple[OpenTransaction | None, int | None]:
        """Return the transaction in which to read, and the earlier time at which to read."""
        which = options.WhichOneof("consistency_type")
        if which == "transaction":
            transaction = self._transactions.get(options.transaction, self._now())
            return transaction, transaction.read_time
        if which == "new_transaction":
            transaction = self._transactions.begin(options.new_transaction, self._now())
            return transaction, transaction.read_time
        if which == "read_time":
            return None, self._history.parse_read_time(options.read_time, self._now())
        return None, None

    def _begin(self, request: Any) -> Any:
        _check_request(request)
        transaction = self._transactions.begin(request.transaction_options, self._now())
        return messages.BeginTransactionResponse(transaction=transaction.id)

    def _rollback(self, request: Any) -> Any:
        _check_request(request)
        self._transactions.rollback(request.transaction, self._now())
        return messages.RollbackResponse()

    async def _commit(self, request: Any) -> Any:
        _check_request(request)
        return await self._commits.commit(request)

    def _allocate_ids(self, request: Any) -> Any:
        _check_request(request)
        response = messages.AllocateIdsResponse()
        database = keys.RequestDatabase(request.project_id, request.database_id)
        taken = []
        for key in request.keys:
            _, _, is_complete = keys.check_key(key, incomplete=True)
            if is_complete:
                last = key.path[-1]
                text = f"[{last.kind}: {last.name or last.id}]"
                raise invalid(f"Key path element must not be complete: {text}")
            partition = database.partition(key)
            self._allocate(partition, key)
            response.keys.append(key)
            taken.append(self._stored(partition, key))
        self._store.reserve(taken)
        return response

    def _reserve_ids(self, request: Any) -> Any:
        _check_request(request)
        database = keys.RequestDatabase(request.project_id, request.database_id)
        taken = []
        for key in request.keys:
            keys.check_key(key)
            taken.append(self._stored(database.partition(key), key))
        self._store.reserve(taken)
        return messages.ReserveIdsResponse()

    def _allocate(self, partition: Partition, key: Any) -> None:
        """Set a new id in a key: one that no entity has and that was never allocated."""
        while True:
            key.path[-1].id = self._random.randint(1, _MAX_ID)
            if not self._store.is_taken(self._stored(partition, key)):
                return

    def _all_stored(self, request: Any, found: Iterable[Any]) -> frozenset[bytes]:
        database = keys.RequestDatabase(request.project_id, request.database_id)
        return frozenset(self._stored(database.partition(key), key) for key in found)

    def _stored(self, partition: Partition, key: Any) -> bytes:
        return self._store.catalog.ensure_prefix(partition) + keys.encode_path(key.path)


def _identity(response: Any) -> bytes:
    data: bytes = response.SerializeToString(deterministic=True)
    return data


def _identity_of(read: Callable[[View], Any]) -> Callable[[View], bytes]:
    return lambda view: _identity(read(view))


def _stamp(response: Any, view: View, now: int) -> None:
    """Write the view's version and the read time into a response, after its identity was taken."""
    if isinstance(response, responses.LookupResponse):
        for missing in response.missing:
            missing.version = view.version
        write(response.read_time, now)
        return
    if isinstance(response, responses.RunQueryResponse):
        response.batch.snapshot_version = view.version
    write(response.batch.read_time, now)


def _check_request(request: Any) -> None:
    if not request.project_id:
        raise invalid("The app id is the empty string.")
    if request.database_id == "(default)":
        raise invalid('"(default)" is an invalid database id.')
    keys.check_partition(request.project_id, request.database_id, "")


def _check_query(request: Any, name: str) -> None:
    which = request.WhichOneof("query_type")
    if which == "gql_query":
        raise unsupported("GQL is not served by the laptop stack; send a structured query.")
    if which is None:
        raise invalid(f"one of fields {name} and gql_query must be set")


def _query_partition(request: Any) -> Partition:
    home = Partition(request.project_id, request.database_id, "")
    given = request.partition_id
    if given.project_id not in {"", home.project} or given.database_id != home.database:
        raise invalid(
            "The partition of a query must be in the project and database of its request."
        )
    keys.check_partition(home.project, home.database, given.namespace_id)
    return Partition(home.project, home.database, given.namespace_id)
