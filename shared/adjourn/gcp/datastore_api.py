"""The Datastore client, the calls that it lacks, and what is done about contention and errors."""

from __future__ import annotations

import itertools
import random
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from adjourn.errors import ConflictError, StoreError, StoreRefusedError
from adjourn.gcp.limited_datastore import MOST_KEYS, LimitedDatastore
from adjourn.retrying import doubling, retry
from adjourn.settings import Settings

if TYPE_CHECKING:
    from google.cloud.datastore import Client, Entity, Key
    from google.cloud.datastore.transaction import Transaction

T = TypeVar("T")

_ATTEMPTS = 6
_FIRST_PAUSE = 0.1  # seconds, before the second attempt


def datastore_client(settings: Settings) -> Client:
    """Return a client for the settings' project and database.

    Raises:
        StoreError: There are no credentials.
    """
    from google.cloud.datastore import Client

    with translated():
        client = Client(project=settings.project, database=settings.database or None)
    api = LimitedDatastore(client._datastore_api, settings.datastore_timeout)  # noqa: SLF001
    client._datastore_api_internal = api  # noqa: SLF001 - it has no other place for defaults
    return client


def key_message(key: Key) -> Any:
    """Return the message of a key. `Key.to_protobuf` copies all of the path for each part of it."""
    made = _key_class()()
    made.partition_id.project_id = key.project
    made.partition_id.database_id = key.database or ""
    made.partition_id.namespace_id = key.namespace or ""
    path = iter(key.flat_path)
    for kind, id_or_name in itertools.zip_longest(path, path):
        field = {"id": id_or_name} if isinstance(id_or_name, int) else {"name": id_or_name}
        made.path.add(kind=kind, **field)
    return made


@cache
def _key_class() -> Any:
    from google.cloud.datastore_v1.types import Key

    return Key.pb()


def entity_message(entity: Entity) -> Any:
    """Return the message of an entity, with a key that is made fast."""
    from google.cloud.datastore.helpers import entity_to_protobuf

    key, entity.key = entity.key, None
    try:
        made = entity_to_protobuf(entity)._pb  # noqa: SLF001
    finally:
        entity.key = key
    if key is not None:
        made.key.CopyFrom(key_message(key))
    return made


def lookup(
    client: Client, keys: Iterable[Key], transaction: Transaction | None = None
) -> dict[Key, tuple[Entity, int]]:
    """Return the entities that exist, with their versions, which Google's client drops."""
    from google.cloud.datastore.helpers import entity_from_protobuf

    found: dict[Key, tuple[Entity, int]] = {}
    pending = [key_message(key) for key in dict.fromkeys(keys)]
    while pending:
        request = {"keys": pending[:MOST_KEYS], "read_options": _read_options(transaction)}
        # The bare message, since wrapping each result takes its time.
        answer = client._datastore_api.lookup(request=addressed(client, request))._pb  # noqa: SLF001
        if transaction is not None and answer.transaction:
            transaction._begin_with_id(answer.transaction)  # noqa: SLF001 - as the client does
        for result in answer.found:
            entity = entity_from_protobuf(result.entity)
            found[entity.key] = (entity, result.version)
        pending = [*answer.deferred, *pending[MOST_KEYS:]]
    return found


@cache
def results_with_cursors() -> Any:
    """Return the class of a query's results, which keeps the cursor of each result."""
    from google.cloud.datastore.query import Iterator
    from google.cloud.datastore_v1.types import QueryResultBatch, RunQueryResponse

    base: Any = Iterator  # its methods have no types
    over = {
        QueryResultBatch.MoreResultsType.NO_MORE_RESULTS,
        QueryResultBatch.MoreResultsType.MORE_RESULTS_AFTER_CURSOR,
    }

    class Results(base):  # type: ignore[misc]
        """Keeps the cursor behind each result, and the end cursor; the client drops both."""

        _end_cursor: Any

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.cursors: list[str] = []
            self.more = True

        def _process_query_results(self, answer: Any) -> Any:
            end = self._end_cursor
            # The bare messages, since wrapping each of them takes a third of the reading time.
            batch = answer.batch._pb  # noqa: SLF001
            found = batch.entity_results
            self.cursors += [urlsafe_b64encode(result.cursor).decode() for result in found]
            self.more = batch.more_results not in over
            rest = QueryResultBatch(
                more_results=batch.more_results,
                end_cursor=batch.end_cursor,
                skipped_results=batch.skipped_results,
            )
            super()._process_query_results(RunQueryResponse(batch=rest))
            self._end_cursor = end
            return [result.entity for result in found]

    return Results


def _read_options(transaction: Transaction | None) -> Any:
    from google.cloud.datastore.helpers import get_read_options, get_transaction_options

    known, new = get_transaction_options(transaction)
    return get_read_options(eventual=False, transaction_id=known, new_transaction_options=new)


def addressed(client: Client, request: dict[str, Any]) -> dict[str, Any]:
    """Set the project and database of the client in a request, and return it."""
    from google.cloud.datastore.helpers import set_database_id_to_request

    request["project_id"] = client.project
    set_database_id_to_request(request, client.database)
    return request


@contextmanager
def translated() -> Iterator[None]:
    """Raise our own errors instead of Google's.

    Raises:
        ConflictError: The transaction or write lost to contention, or the transaction expired.
        StoreRefusedError: Datastore refused the request for good.
        StoreError: Datastore could not be reached, or did not do it for another reason.
    """
    from google.api_core import exceptions as google
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except (google.GoogleAPIError, GoogleAuthError) as error:
        # The client rolls a failed transaction back; an error of the rollback hides the first one.
        ended: BaseException | None = error
        while ended and not has_ended_transaction(ended):
            ended = ended.__context__
        if ended:
            raise ConflictError(str(ended)) from ended
        failure = StoreRefusedError if isinstance(error, _refusals()) else StoreError
        raise failure(f"A request to Datastore failed: {error}") from error


@cache
def _refusals() -> tuple[type[Exception], ...]:
    """Return the errors that the same request meets again, unless somebody mends its cause."""
    from google.api_core import exceptions as google

    return google.InvalidArgument, google.FailedPrecondition, google.PermissionDenied


def has_ended_transaction(error: BaseException) -> bool:
    """Whether Datastore has aborted a transaction, or let it expire, without writing anything.

    It answers INVALID_ARGUMENT, whose text alone tells, when a transaction was open for 270 seconds
    or idle for 60, as it is if the process was suspended
    (https://cloud.google.com/datastore/docs/concepts/transactions,
    https://github.com/googleapis/nodejs-firestore/pull/1347).
    """
    from google.api_core.exceptions import Aborted, BadRequest

    has_expired = isinstance(error, BadRequest) and "transaction has expired" in str(error)
    return has_expired or isinstance(error, Aborted)


class ContentionRetry:
    """Retries a transaction that was aborted or expired, or a write that lost to contention.

    It pauses in between, for a random and growing time.

    Datastore answers ABORTED when a transaction read what others have changed since. With
    pessimistic locks, which are its default, it also aborts plain writes of what other transactions
    have read (https://cloud.google.com/datastore/docs/concepts/transactions). In both cases nothing
    was written.

    Args:
        sleep: Waits for some seconds.
        jitter: Returns random numbers from 0 to 1.
    """

    def __init__(
        self,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._sleep = sleep
        self._jitter = jitter

    def __call__(
        self, work: Callable[[], T], failure: type[ConflictError | StoreError] = StoreError
    ) -> T:
        """Return the result of work, of which there are up to six attempts.

        Args:
            work: Calls Datastore; Google's errors are translated here.
            failure: What is raised if the last attempt was in vain for the same reason.

        Raises:
            ConflictError: The work raised it for another reason.
            StoreError: Datastore could not be reached, or refused the request.
        """

        def attempt() -> T:
            with translated():
                return work()

        seconds = itertools.islice(doubling(_FIRST_PAUSE), _ATTEMPTS - 1)
        pauses = (each * self._jitter() for each in seconds)
        try:
            return retry(attempt, pauses=pauses, is_transient=_is_passing, sleep=self._sleep)
        except ConflictError as error:
            if not _is_passing(error):
                raise
            text = f"Datastore: gave up after {_ATTEMPTS} attempts: {error}"
            raise failure(text) from error

    def pause(self, attempt: int) -> None:
        """Wait before an attempt; the first one has the number 0 and waits for nothing."""
        if attempt:
            self._sleep(_FIRST_PAUSE * 2 ** (attempt - 1) * self._jitter())


def _is_passing(error: Exception) -> bool:
    cause = error.__cause__
    return isinstance(error, ConflictError) and cause is not None and has_ended_transaction(cause)
