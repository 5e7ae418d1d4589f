"""Flows in operation: who runs, who waits, and limits that are changed live."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from adjourn.error_text import nearest
from adjourn.errors import UnknownNameError
from adjourn.flow.guard import call_guard
from adjourn.flow.limits import check_limits
from adjourn.flow.records import KIND, UNINDEXED, FlowRecord, read_record, record_key
from adjourn.ports import Adapters, Record, Transaction
from adjourn.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowView:
    """How a key of a flow stands, or what was set for the flow as a whole.

    Attributes:
        flow: Name of the flow.
        key: The key; None for the flow as a whole.
        running: How many calls hold a permit.
        waiting: How many calls wait.
        limits: The limits at its latest change, as text; empty for the flow as a whole.
        concurrency: The limit that was set here live; None if none was.
        rate: The rate that was set here live; empty if none was.
        burst: Its burst; None for that of the rate.
        is_paused: Whether it was paused here.
        running_calls: Ids of the calls that hold a permit.
        waiting_calls: Ids of the calls that wait, the next one first; a hundred or so.
    """

    flow: str
    key: str | None
    running: int
    waiting: int
    limits: str
    concurrency: int | None
    rate: str
    burst: int | None
    is_paused: bool
    running_calls: tuple[str, ...]
    waiting_calls: tuple[str, ...]


@dataclass(kw_only=True, eq=False, repr=False)
class Flows:
    """The flows of a deployment, to be watched and changed.

    What is set for a key comes before what is set for its flow, and that before the declaration. It
    holds from the next call that begins or ends, in all processes. Every method raises StoreError
    if Datastore could not be reached.

    Attributes:
        declared: Names of the flows that the application declares, as far as they are known.
    """

    adapters: Adapters
    settings: Settings
    declared: Collection[str] = ()

    def find(self, flow: str | None = None) -> Iterator[FlowView]:
        """Return all keys that had calls in the last weeks, and all that was set live.

        Args:
            flow: Name of a flow; None for all.
        """
        return map(_view, self._records(flow))

    def get(self, flow: str, key: str | None = None) -> FlowView:
        """Return how a key stands, or what was set for a flow as a whole.

        Raises:
            UnknownNameError: Nothing is known of such a flow.
        """
        self._check(flow)
        record = self.adapters.store.get([record_key(flow, key)])[0]
        return _view(read_record(flow, key, record))

    def pause(self, flow: str, key: str | None = None) -> None:
        """Let no more calls of a key, or of a whole flow, begin; they wait.

        Raises:
            UnknownNameError: Nothing is known of such a flow.
        """
        self._change(flow, key, lambda record: record._replace(is_paused=True))

    def resume(self, flow: str, key: str | None = None) -> None:
        """Undo `pause`, and call those who wait.

        Raises:
            UnknownNameError: Nothing is known of such a flow.
            EnqueueError: Those who wait could not be called; repeat it.
        """
        self._call(self._change(flow, key, lambda record: record._replace(is_paused=False)))

    def limit(
        self,
        flow: str,
        key: str | None = None,
        *,
        concurrency: int | None = None,
        rate: str = "",
        burst: int | None = None,
    ) -> None:
        """Set the limits of a key or of a flow; what is left out is as declared.

        Those that run go on when a limit is lowered.

        Args:
            flow: Name of the flow.
            key: A key; None for all keys of the flow.
            concurrency: How many calls with the same key may run at the same time.
            rate: How many may begin in which time, such as "10/s".
            burst: How many may begin at once; as many as in the text of the rate if None.

        Raises:
            DeclarationError: A limit is wrong; the message says the fix.
            UnknownNameError: Nothing is known of such a flow.
            EnqueueError: Those who wait could not be called; repeat it.
        """
        check_limits(concurrency, rate, burst)

        def change(record: FlowRecord) -> FlowRecord:
            return record._replace(concurrency=concurrency, rate=rate, burst=burst)

        self._call(self._change(flow, key, change))

    def _check(self, flow: str) -> None:
        if flow in self.declared:
            return
        known = {*self.declared, *(view.flow for view in self.find())}
        if flow not in known:
            near = nearest(flow, known)
            hint = f"; did you mean {near!r}?" if near else ""
            raise UnknownNameError(f"No flow {flow!r} is known{hint}")

    def _change(
        self, flow: str, key: str | None, change: Callable[[FlowRecord], FlowRecord]
    ) -> FlowRecord:
        self._check(flow)

        def work(transaction: Transaction) -> FlowRecord:
            stored = record_key(flow, key)
            record = change(read_record(flow, key, transaction.get([stored])[0]))
            now = self.adapters.clock.now()
            transaction.put(stored, record.record(now), unindexed=UNINDEXED)
            return record

        return self.adapters.store.transact(work)

    def _call(self, changed: FlowRecord) -> None:
        """Send a guard to each line that may move now: that of a key, or all of a flow."""
        for found in self._records(changed.flow) if changed.key is None else [changed]:
            if found.key is not None and found.state.length:
                queue = found.queue or self.settings.queue
                call_guard(self.adapters, found.flow, found.key, queue=queue)

    def _records(self, flow: str | None) -> Iterator[FlowRecord]:
        for _, record in self.adapters.store.query(KIND, by="expires_at"):
            if flow is None or record["flow"] == flow:
                yield _read(record)


def _read(record: Record) -> FlowRecord:
    key = record["key"]
    return read_record(str(record["flow"]), None if key is None else str(key), record)


def _view(record: FlowRecord) -> FlowView:
    state = record.state
    running = [each.call.id for each in state.permits if each.slot is None]
    called = [each.call.id for each in state.permits if each.slot]
    return FlowView(
        flow=record.flow,
        key=record.key,
        running=len(running),
        waiting=len(called) + state.length,
        limits=record.limits,
        concurrency=record.concurrency,
        rate=record.rate,
        burst=record.burst,
        is_paused=record.is_paused,
        running_calls=tuple(running),
        waiting_calls=(*called, *(call.id for call in state.waiting)),
    )
