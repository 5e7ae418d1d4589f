"""Find, watch, cancel and retry the batches of a deployment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from adjourn.batches.cancelling import Canceller
from adjourn.batches.children import Child
from adjourn.batches.ends import Ends
from adjourn.batches.place import BATCHES, CALLS, RUNS, Place, State, call_id
from adjourn.batches.records import KIND, BatchRecord, batch_id, batch_key
from adjourn.batches.summary import BatchSummary, summary_of
from adjourn.batches.tree import calls_in_order, children_of, counted
from adjourn.errors import UnknownNameError
from adjourn.execution.dead_letters import KIND as DEAD_LETTERS
from adjourn.execution.replay import StoredDeadLetters
from adjourn.iteration.control import Runs
from adjourn.names import CallIdentity
from adjourn.ports import Adapters, RecordKey
from adjourn.serialization.codec import Codec
from adjourn.state.call_results import CallResult, CallResults

_READ_AT_ONCE = 100


class BatchChild(NamedTuple):
    """A child of a batch.

    Attributes:
        kind: One of call, run and batch.
        id: Of the call, whose dead letter has the same; of the run, or of the nested batch.
        state: One of open, done, failed and cancelled.
    """

    kind: str
    id: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchHandle:
    """A batch of this deployment.

    Attributes:
        id: Identifies it.
    """

    id: str
    _batches: Batches = field(repr=False)

    def fetch(self) -> BatchSummary:
        """Return how the batch stands.

        Raises:
            UnknownNameError: It is gone.
            StoreError: Datastore could not be reached.
        """
        return self._batches.summary(self.id)

    def children(self, state: str | None = None) -> Iterator[BatchChild]:
        """Yield the children; errors are those of `fetch`.

        Args:
            state: Only those that are open, done, failed or cancelled; all if None.
        """
        return self._batches.children(self.id, state)

    def results(self) -> Iterator[CallResult | None]:
        """Yield how the calls have ended whose tasks keep results (`keep_result`).

        Those of the block come as it has added them, then what children have added. They are read
        a hundred at a time while they are taken; runs and nested batches have none.

        Yields:
            For each call: its result, whose `returned()` returns or raises; None if it has not
            ended, keeps none, or the time for which it was kept is over.

        Raises:
            UnknownNameError: The batch is gone.
            StoreError: Datastore could not be reached.
        """
        return self._batches.results(self.id)

    def cancel(self) -> bool:
        """Cancel the batch for good; return False if it has ended.

        A call that runs is not stopped, but not retried. Runs and nested batches are cancelled.
        Calls that have not begun end as cancelled when they come, or when a call that has begun
        must have ended (`ADJOURN_FUNCTION_TIMEOUT`), and then `on_done` is called. A batch whose
        block was left by an error is sealed by it.

        Raises:
            StoreError: Datastore could not be reached; repeat it.
            EnqueueError: Cloud Tasks did not accept a task; repeat it.
        """
        return self._batches.cancel(self.id)

    def retry(self) -> int:
        """Run again what has failed, and return how many children that are.

        Calls are replayed from their dead letters; those without one stay failed. If the batch had
        ended, it goes on, and `on_done` is called again at its end.

        Raises:
            DecodeError: A dead letter cannot be replayed; the message says why.
            StoreError: Datastore could not be reached; repeat it.
            EnqueueError: Cloud Tasks did not accept a task; repeat it.
        """
        return self._batches.retry(self.id)


@dataclass(kw_only=True, eq=False, repr=False)
class Batches:
    """The batches of a deployment. They are found without the application's code.

    Attributes:
        codec: Decodes results.
    """

    adapters: Adapters
    codec: Codec = field(default_factory=Codec)

    def get(self, batch: str) -> BatchHandle:
        """Return the handle of a batch.

        Args:
            batch: Its name, or its id.

        Raises:
            UnknownNameError: There is none.
            StoreError: Datastore could not be reached.
        """
        ids = (batch_id(batch), batch)
        found = self.adapters.store.get([batch_key(each) for each in ids])
        for id_, record in zip(ids, found, strict=True):
            if record is not None:
                return BatchHandle(id=id_, _batches=self)
        raise UnknownNameError(f"There is no batch {batch!r}.")

    def find(self) -> Iterator[BatchSummary]:
        """Yield the batches, those that were created last first.

        Raises:
            StoreError: Datastore could not be reached.
        """
        for id_, stored in self.adapters.store.query(KIND, by="created_at"):
            record = BatchRecord.of(id_, stored)
            assert record is not None  # noqa: S101 - the query has found it
            yield summary_of(record, *counted(self.adapters.store, record))

    def summary(self, batch: str) -> BatchSummary:
        """Return how a batch stands; errors are those of `get`."""
        record = self._load(batch)
        return summary_of(record, *counted(self.adapters.store, record))

    def children(self, batch: str, state: str | None = None) -> Iterator[BatchChild]:
        """Yield the children of a batch; errors are those of `get`."""
        for child, place in children_of(self.adapters.store, self._load(batch)):
            if state in {None, child.state.name.lower()}:
                yield BatchChild(_kind_of(child), _id_of(child, place), child.state.name.lower())

    def results(self, batch: str) -> Iterator[CallResult | None]:
        """Yield the results of the calls of a batch; see `BatchHandle.results`."""
        adapters = self.adapters
        results = CallResults(
            store=adapters.store, clock=adapters.clock, sealer=adapters.sealer, codec=self.codec
        )
        found = calls_in_order(adapters.store, self._load(batch))
        while part := list(islice(found, _READ_AT_ONCE)):
            calls = [CallIdentity(call_id(child.key), "") for child, _ in part]
            yield from results.read(calls)

    def cancel(self, batch: str) -> bool:
        """Cancel a batch; see `BatchHandle.cancel`."""
        return Canceller(ends=Ends(adapters=self.adapters)).cancel(batch)

    def retry(self, batch: str) -> int:
        """Run again what has failed; see `BatchHandle.retry`."""
        found = list(children_of(self.adapters.store, self._load(batch)))
        return sum(self._is_retried(child, place) for child, place in found)

    def _is_retried(self, child: Child, place: Place) -> bool:
        id_ = _id_of(child, place)
        if child.kind in CALLS:
            # The replay of one that is open may have been interrupted.
            return child.state in {State.FAILED, State.OPEN} and self._is_replayed(id_)
        if child.state is not State.FAILED:
            return False
        if child.kind in RUNS:
            return Runs(adapters=self.adapters).get(id_).retry()
        return self.retry(id_) > 0

    def _is_replayed(self, call: str) -> bool:
        if self.adapters.store.get([RecordKey(DEAD_LETTERS, call)])[0] is None:
            return False
        StoredDeadLetters.of(self.adapters).replay(call)
        return True

    def _load(self, batch: str) -> BatchRecord:
        record = BatchRecord.of(batch, self.adapters.store.get([batch_key(batch)])[0])
        if record is None:
            raise UnknownNameError(f"There is no batch {batch!r}.")
        return record


def _kind_of(child: Child) -> str:
    if child.kind in CALLS:
        return "call"
    return "batch" if child.kind in BATCHES else "run"


def _id_of(child: Child, place: Place) -> str:
    if child.kind in CALLS:
        return call_id(child.key)
    return place.text if child.kind in RUNS else child.key.hex()
