"""The client of Datastore, and the calls in which it leaves out what we need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from adjourn.errors import ConflictError, StoreError
from adjourn.settings import Settings

if TYPE_CHECKING:
    from google.cloud.datastore import Client, Entity, Key
    from google.cloud.datastore.transaction import Transaction

# https://cloud.google.com/datastore/docs/concepts/limits: 1,000 keys in a lookup, 10 MiB in a
# request. 500 mutations were the limit until lately; Google's emulator takes 4 MiB.
_LOOKUP = 1000
_MUTATIONS = 500
_BYTES = 3_000_000


def datastore_client(settings: Settings) -> Client:
    """Return a client for the settings' project and database.

    Raises:
        StoreError: There are no credentials.
    """
    from google.cloud.datastore import Client

    with translated():
        return Client(project=settings.project, database=settings.database or None)


def lookup(
    client: Client, keys: Iterable[Key], transaction: Transaction | None = None
) -> dict[Key, tuple[Entity, int]]:
    """Return the entities that are there, with the versions that Google's client drops."""
    from google.cloud.datastore.helpers import entity_from_protobuf

    found: dict[Key, tuple[Entity, int]] = {}
    pending = [key.to_protobuf() for key in dict.fromkeys(keys)]
    while pending:
        request = {"keys": pending[:_LOOKUP], "read_options": _read_options(transaction)}
        answer = client._datastore_api.lookup(request=addressed(client, request))  # noqa: SLF001
        if transaction is not None and answer.transaction:
            transaction._begin_with_id(answer.transaction)  # noqa: SLF001 - as the client does
        for result in answer.found:
            entity = entity_from_protobuf(result.entity)
            found[entity.key] = (entity, result.version)
        pending = [*answer.deferred, *pending[_LOOKUP:]]
    return found


def commit(client: Client, mutations: Sequence[Mapping[str, Any]]) -> Sequence[Any]:
    """Apply mutations of different entities, outside of a transaction; return their results."""
    from google.cloud.datastore_v1.types import CommitRequest

    request = {"mode": CommitRequest.Mode.NON_TRANSACTIONAL, "mutations": mutations}
    answer = client._datastore_api.commit(request=addressed(client, request))  # noqa: SLF001
    results: Sequence[Any] = answer.mutation_results
    return results


def commit_all(client: Client, mutations: Iterable[Mapping[str, Any]]) -> None:
    """Apply mutations of different entities in as few commits as the limits allow."""
    batch: list[Mapping[str, Any]] = []
    load = 0
    for mutation in mutations:
        size = sum(message._pb.ByteSize() for message in mutation.values())  # noqa: SLF001
        if batch and (len(batch) == _MUTATIONS or load + size > _BYTES):
            commit(client, batch)
            batch, load = [], 0
        batch.append(mutation)
        load += size
    if batch:
        commit(client, batch)


def _read_options(transaction: Transaction | None) -> Any:
    from google.cloud.datastore.helpers import get_read_options, get_transaction_options

    known, new = get_transaction_options(transaction)
    return get_read_options(eventual=False, transaction_id=known, new_transaction_options=new)


def addressed(client: Client, request: dict[str, Any]) -> dict[str, Any]:
    """Return a request with the client's project and database."""
    from google.cloud.datastore.helpers import set_database_id_to_request

    request["project_id"] = client.project
    set_database_id_to_request(request, client.database)
    return request


@contextmanager
def translated() -> Iterator[None]:
    """Raise our own errors instead of Google's."""
    from google.api_core import exceptions as google
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except google.Aborted as error:
        raise ConflictError(str(error)) from error
    except (google.GoogleAPIError, GoogleAuthError) as error:
        # The client rolls back what was aborted, and hides that behind what comes of it.
        hidden: BaseException | None = error
        while hidden and not isinstance(hidden, google.Aborted):
            hidden = hidden.__context__
        if hidden:
            raise ConflictError(str(hidden)) from hidden
        raise StoreError(f"Datastore did not do it: {error}") from error
