"""The calls of Datastore with bare messages, on the channel of Google's client and without it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from adjourn.gcp.limited_datastore import MOST_KEYS, LimitedDatastore
from adjourn.gcp.record_messages import message_class, record_of, set_key
from adjourn.ports import RecordKey, Versioned

if TYPE_CHECKING:
    from google.cloud.datastore import Client

_SERVICE = "google.datastore.v1.Datastore"
_ROUTING = "x-goog-request-params"  # https://google.aip.dev/client-libraries/4222

# https://cloud.google.com/datastore/docs/concepts/limits: 10 MiB in a request. 500 mutations were
# the limit until lately; Google's emulator takes 4 MiB.
_MUTATIONS = 500
_BYTES = 3_000_000
_TIMEOUT = 60.0  # seconds; that of Google's client


class DatastoreService:
    """Datastore as it is called with bare messages; errors are those of Google's client.

    Args:
        client: Google's client; if `datastore_client` has made it, its limits hold here, too.
    """

    def __init__(self, client: Client) -> None:
        self.project = client.project
        self.database = client.database or ""
        api = client._datastore_api  # noqa: SLF001
        is_limited = isinstance(api, LimitedDatastore)
        calls = _Calls(api.api if is_limited else api, self.project, self.database)
        self._api: Any = api.over(calls) if is_limited else calls

    def lookup(self, keys: Iterable[RecordKey], options: Any) -> dict[RecordKey, Versioned]:
        """Return the records that exist, without those in the caller's other databases.

        Args:
            keys: Their keys.
            options: The message ReadOptions; if it asks for a new transaction, the one that has
                begun is put in.
        """
        found: dict[RecordKey, Versioned] = {}
        pending: Sequence[Any] = [self._key(key) for key in dict.fromkeys(keys)]
        while pending:
            request = self.request("LookupRequest", keys=pending[:MOST_KEYS], read_options=options)
            answer = self._api.lookup(request=request)
            if answer.transaction:
                options.transaction = answer.transaction
            for result in answer.found:
                end = result.entity.key.path[-1]
                record = Versioned(record_of(result.entity), result.version)
                found[RecordKey(end.kind, end.name)] = record
            pending = [*answer.deferred, *pending[MOST_KEYS:]]
        return found

    def begin(self) -> bytes:
        """Begin a transaction and return its id."""
        request = self.request("BeginTransactionRequest")
        begun: bytes = self._api.begin_transaction(request=request).transaction
        return begun

    def commit(self, mutations: Sequence[Any], transaction: bytes = b"") -> Sequence[Any]:
        """Commit mutations, in a transaction or without one; return their results."""
        mode = "TRANSACTIONAL" if transaction else "NON_TRANSACTIONAL"
        request = self.request("CommitRequest", mode=mode, mutations=mutations)
        if transaction:
            request.transaction = transaction
        results: Sequence[Any] = self._api.commit(request=request).mutation_results
        return results

    def commit_all(self, mutations: Iterable[Any]) -> None:
        """Commit mutations of distinct entities in as few commits as the limits allow."""
        batch: list[Any] = []
        load = 0
        for mutation in mutations:
            size = mutation.ByteSize()
            if batch and (len(batch) == _MUTATIONS or load + size > _BYTES):
                self.commit(batch)
                batch, load = [], 0
            batch.append(mutation)
            load += size
        if batch:
            self.commit(batch)

    def roll_back(self, transaction: bytes) -> None:
        """End a transaction without effect."""
        self._api.rollback(request=self.request("RollbackRequest", transaction=transaction))

    def request(self, name: str, **fields: Any) -> Any:
        """Return a message that names the project and the database."""
        return message_class(name)(project_id=self.project, database_id=self.database, **fields)

    def _key(self, key: RecordKey) -> Any:
        message = message_class("Key")()
        set_key(message, self.project, self.database, key)
        return message


class _Calls:
    """The calls, as LimitedDatastore makes them; those of Google's own API if that has no channel.

    It has none with GOOGLE_CLOUD_DISABLE_GRPC.
    """

    def __init__(self, api: Any, project: str, database: str) -> None:
        transport = getattr(api, "transport", None)
        named = {"project_id": project, **({"database_id": database} if database else {})}
        routing = ((_ROUTING, urlencode(named)),)
        calls = {
            "lookup": "Lookup",
            "begin_transaction": "BeginTransaction",
            "commit": "Commit",
            "rollback": "Rollback",
        }
        made = {
            name: _wrapped(getattr(api, name), f"{method}Request")
            if transport is None
            else _direct(transport.grpc_channel, method, routing)
            for name, method in calls.items()
        }
        self.lookup, self.begin_transaction = made["lookup"], made["begin_transaction"]
        self.commit, self.rollback = made["commit"], made["rollback"]


def _direct(channel: Any, method: str, metadata: Any) -> Callable[..., Any]:
    import grpc
    from google.api_core.exceptions import from_grpc_error

    call = channel.unary_unary(
        f"/{_SERVICE}/{method}",
        request_serializer=message_class(f"{method}Request").SerializeToString,
        response_deserializer=message_class(f"{method}Response").FromString,
    )

    def request(request: Any, timeout: float = _TIMEOUT, retry: None = None) -> Any:  # noqa: ARG001 - the API's form
        try:
            return call(request, timeout=timeout, metadata=metadata)
        except grpc.RpcError as error:
            raise from_grpc_error(error) from error

    return request


def _wrapped(call: Callable[..., Any], name: str) -> Callable[..., Any]:
    from google.cloud.datastore_v1 import types

    def request(request: Any, timeout: float = _TIMEOUT, retry: None = None) -> Any:
        message = getattr(types, name).wrap(request)
        return call(request=message, timeout=timeout, retry=retry)._pb  # noqa: SLF001

    return request
